"""A photo's way through the server: admitted, decoded, queued, answered."""
