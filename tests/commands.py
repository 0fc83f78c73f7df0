"""The result of a command that a test runs in its own process."""

from collections.abc import Callable
from typing import NamedTuple


class Ended(NamedTuple):
    """The exit code of a command, and its output."""

    code: int
    out: str
    err: str


Run = Callable[..., Ended]
