"""HTTP: what comes in, what goes out, how the port opens and closes."""
