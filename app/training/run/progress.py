"""The progress of a run on the terminal: a bar for the phase and a line for each epoch."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn


class Display:
    """A progress bar on standard error, with loss, accuracy, photos per second and time left."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._console = Console(stderr=True, quiet=quiet, markup=False, highlight=False)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[status]}", markup=False),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    @contextmanager
    def bar(self, name: str, total: int, done: int = 0) -> Iterator[None]:
        """Show a bar while the context is open; `total` and `done` are numbers of photos."""
        self._task = self._progress.add_task(name, total=total, completed=done, status="")
        try:
            yield
        finally:
            self._progress.remove_task(self._task)
            self._task = None

    def advance(self, photos: int, status: str = "", name: str | None = None) -> None:
        """Move the bar forward, with a new status text and, if given, a new name."""
        if self._task is not None:
            self._progress.update(self._task, advance=photos, status=status, description=name)

    def epoch(self, row: dict[str, Any]) -> None:
        """Write the line of an epoch."""
        self.say(
            f"{row['phase']} {row['epoch']}/{row['epochs']}  "
            f"loss {row['loss']:.3f}  top-1 {row['top1']:.1%}  "
            f"held out at {row['size']}: loss {row['val_loss']:.3f}  top-1 {row['val_top1']:.2%}  "
            f"{row['photos_per_s']:.0f} photos/s{'  best' if row['best'] else ''}"
        )

    def say(self, text: str) -> None:
        """Write a line of text above the bar."""
        self._console.print(text, soft_wrap=True)
