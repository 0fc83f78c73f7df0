"""What is released, built from the commit that is checked out: packages, images, bills, checksums."""
