"""Photos, requests, and the clients that send them."""
