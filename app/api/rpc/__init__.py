"""gRPC on a port of its own: what a call may cost, how it is answered, how the port drains."""
