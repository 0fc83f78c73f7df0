"""The load tool: it asks a server as many clients would, and checks and times every answer."""
