"""Photos that show the same picture: found among many, also cropped, mirrored or encoded again."""
