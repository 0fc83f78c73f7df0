"""Published weights: fetched, read, converted, built into a bundle."""
