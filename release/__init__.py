"""What is released, built from the present commit: packages, images, bills, checksums."""
