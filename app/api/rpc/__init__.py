"""A second port, for gRPC: what a call may cost, how it is answered, how the port drains."""
