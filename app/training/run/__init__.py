"""A run's folder, and what is shown of it."""
