"""A bundle on disk, and the engines that run its network."""
