"""Labelled photos: read, checked, divided, loaded."""
