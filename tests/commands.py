"""Commands as a test runs them, in its own process."""

from collections.abc import Callable
from typing import NamedTuple


class Ended(NamedTuple):
    """What a command has printed, and its exit code."""

    code: int
    out: str
    err: str


Run = Callable[..., Ended]
