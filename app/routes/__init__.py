"""The endpoints, a small file per family."""
