"""Shows how good a classifier is: pages, charts, contact sheets and tables."""
