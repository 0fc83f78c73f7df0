"""The terminal: a progress bar, and a console for tables."""

from collections.abc import Iterable
from typing import TypeVar

from rich.console import Console
from rich.progress import track

T = TypeVar("T")


def with_progress(items: Iterable[T], total: int) -> Iterable[T]:
    """Yield `items`, and show a progress bar on standard error meanwhile."""
    return track(items, "Reading photos", total, console=Console(stderr=True), transient=True)


def plain_console() -> Console:
    """Return a console that prints file names and labels unchanged, even `[red]` or `:cat:`."""
    return Console(markup=False, emoji=False, highlight=False)
