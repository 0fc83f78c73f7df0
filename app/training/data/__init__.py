"""Labelled photos: read, divided, loaded."""
