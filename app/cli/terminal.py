"""The terminal: a progress bar or lines, a console for tables, and how long a command took."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import track
from typer.core import TyperCommand

from app.pace import Pace, duration

T = TypeVar("T")


def with_progress(items: Iterable[T], total: int, name: str = "reading photos") -> Iterator[T]:
    """Yield `items`, and show the progress on standard error meanwhile.

    A terminal gets a bar. A file or a pipe gets a line now and then, and one at the end.
    """
    console = Console(stderr=True, markup=False, highlight=False)
    if console.is_terminal:
        yield from track(items, name.capitalize(), total, console=console, transient=True)
        return
    pace = Pace(name, total, tell)
    for item in items:
        yield item
        pace.advance()
    pace.end()


def tell(line: str) -> None:
    """Write a line to standard error at once, because a log is read while the work goes on."""
    print(line, file=sys.stderr, flush=True)


def plain_console() -> Console:
    """Return a console that prints file names and labels unchanged, even `[red]` or `:cat:`."""
    return Console(markup=False, emoji=False, highlight=False)


class Timed(TyperCommand):
    """A command whose last line, on standard error, says how long it took."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401  (a context of the click in Typer)
        """Run the command; say nothing about the time of one that has failed."""
        started = time.monotonic()
        try:
            result = super().invoke(ctx)
        except SystemExit:
            self._tell(started)
            raise
        self._tell(started)
        return result

    @staticmethod
    def _tell(started: float) -> None:
        tell(f"took {duration(time.monotonic() - started)}")
