"""Servers and baselines, measured while the load runs."""
