"""Numbers in the JSON of other protocols."""

from app.errors import InvalidRequest


def count_of(name: str, given: object, most: int) -> int | None:
    """Return how many classes a client asks for, at most `most`; None if it does not say.

    The other servers do not refuse a number above the number of classes either.

    Raises:
        InvalidRequest: `given` is not a whole number from 1 on.
    """
    if given is None:
        return None
    if not isinstance(given, int) or isinstance(given, bool) or given < 1:
        raise InvalidRequest(f"'{name}' must be a whole number from 1 on")
    return min(given, most)
