"""HTTP and gRPC: what comes in, what goes out, how the ports open and close."""
