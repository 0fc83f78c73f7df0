"""The progress of a run: a bar on a terminal, lines in a log, and a line for each epoch."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Self, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from app.pace import Pace

T = TypeVar("T")


class Display:
    """Shows on standard error how far the work is, how fast it goes, and how long it still takes.

    A terminal gets a bar, with loss and accuracy. A file or a pipe gets a line now and then.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._console = Console(stderr=True, quiet=quiet, markup=False, highlight=False)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[status]}", markup=False),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task: TaskID | None = None
        self._pace: Pace | None = None

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    @contextmanager
    def bar(self, name: str, total: int, done: int = 0) -> Iterator[None]:
        """Show a bar while the context is open; `total` and `done` are numbers of photos."""
        self._task = self._progress.add_task(name, total=total, completed=done, status="")
        self._pace = None if self._console.is_terminal else Pace(name, total, self.say, done=done)
        try:
            yield
            if self._pace:
                self._pace.end()
        finally:
            self._progress.remove_task(self._task)
            self._task = self._pace = None

    def advance(self, photos: int, status: str = "", name: str | None = None) -> None:
        """Move the bar forward, with a new status text and, if given, a new name."""
        if self._task is not None:
            self._progress.update(self._task, advance=photos, status=status, description=name)
        if self._pace:
            self._pace.advance(photos, name)

    def each(self, items: Iterable[T], name: str, total: int) -> Iterator[T]:
        """Yield `items`, one for each photo, and show a bar meanwhile."""
        with self, self.bar(name, total):
            for item in items:
                yield item
                self.advance(1)

    def epoch(self, row: dict[str, Any]) -> None:
        """Write the line of an epoch."""
        self.say(
            f"{row['phase']} {row['epoch']}/{row['epochs']}  "
            f"loss {row['loss']:.3f}  top-1 {row['top1']:.1%}  "
            f"held out at {row['size']}: loss {row['val_loss']:.3f}  top-1 {row['val_top1']:.2%}  "
            f"mean recall {row['val_recall']:.1%}  "
            f"{row['photos_per_s']:.0f} photos/s{'  best' if row['best'] else ''}"
        )

    def say(self, text: str) -> None:
        """Write a line of text above the bar."""
        self._console.print(text, soft_wrap=True)
