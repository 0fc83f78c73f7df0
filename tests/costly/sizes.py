"""The largest sizes that the service admits by default, or hardly less."""

FULL = 9_900_000  # bytes of an upload
SIDE = 7071  # pixels of a square's side
