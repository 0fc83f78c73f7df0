"""The protocols of other servers: each is a thin translator onto this service."""
