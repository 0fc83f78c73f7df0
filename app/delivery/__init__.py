"""A bundle's way to a server: packed, fetched by its hash, checked and put in place."""
