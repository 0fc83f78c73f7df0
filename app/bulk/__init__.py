"""Many photos at once: listed, classified on one machine or a cluster, kept in a table."""
