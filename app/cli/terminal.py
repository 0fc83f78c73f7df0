"""What commands show on a terminal."""

from collections.abc import Iterable
from typing import TypeVar

from rich.console import Console
from rich.progress import track

T = TypeVar("T")


def watched(items: Iterable[T], total: int) -> Iterable[T]:
    """Yield `items` beside a progress bar on standard error."""
    return track(items, "Looking", total, console=Console(stderr=True), transient=True)


def plain_console() -> Console:
    """Return a console that prints names of files and labels as they are."""
    return Console(markup=False, emoji=False, highlight=False)
