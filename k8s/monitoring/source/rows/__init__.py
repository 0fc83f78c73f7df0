"""The rows of the dashboards."""
