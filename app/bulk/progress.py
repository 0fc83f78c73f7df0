"""How far the work is: a bar on a terminal, and otherwise a line every few seconds."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from app.bulk.records import Record
from app.pace import duration

_LINE_S = 10.0
# The rate is that of this time, because a machine is not equally fast at all times.
_WINDOW_S = 60.0


class Count:
    """What has been done of the photos of a run, and how fast.

    Attributes:
        total: the photos of the source.
        before: those that were in the table already.
        done: those that this run has added.
        errors: those of them that could not be classified.
    """

    def __init__(
        self, total: int, before: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.total, self.before = total, before
        self.done = self.errors = 0
        self._clock = clock
        self._began = clock()
        self._marks = deque([(self._began, 0)])

    def add(self, records: Sequence[Record]) -> None:
        """Count records that are kept."""
        self.done += len(records)
        self.errors += sum(record["error_code"] is not None for record in records)
        now = self._clock()
        self._marks.append((now, self.done))
        while self._marks[0][0] < now - _WINDOW_S:
            self._marks.popleft()

    @property
    def left(self) -> int:
        """The photos that are still to be classified."""
        return self.total - self.before - self.done

    def line(self) -> str:
        """Return how far the work is, in one line."""
        (then, before), (now, done) = self._marks[0], self._marks[-1]
        rate = (done - before) / (now - then) if now > then else 0.0
        parts = [f"{self.before + self.done:,} of {self.total:,} photos"]
        if rate:
            parts += [f"{rate:,.0f} photos/s", f"{duration(self.left / rate)} left"]
        if self.errors:
            parts.append(errors(self.errors))
        return ", ".join(parts)

    def summary(self) -> str:
        """Return the last line: all counts, and the time."""
        seconds = self._clock() - self._began
        parts = [f"{self.total:,} photos: {self.done - self.errors:,} classified"]
        parts.append(errors(self.errors))
        if self.before:
            parts.append(f"{self.before:,} were there already")
        if self.left:
            parts.append(f"{self.left:,} left")
        rate = f" ({self.done / seconds:,.0f} photos/s)" if self.done and seconds else ""
        return f"{', '.join(parts)}; it took {duration(seconds)}{rate}"


class Display:
    """Shows a count while the work goes on. Used as a context manager."""

    def __init__(
        self, count: Count, console: Console, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._count = count
        self._console = console
        self._clock = clock
        self._due = clock() + _LINE_S
        self._bar = Progress(
            BarColumn(), TextColumn("{task.description}"), console=console, transient=True
        )
        self._task = self._bar.add_task("", total=count.total, completed=count.before)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self._console.is_terminal:
            self._bar.stop()

    def update(self) -> None:
        """Show the count as it is now."""
        count = self._count
        if self._console.is_terminal:
            done = count.before + count.done
            self._bar.update(self._task, completed=done, description=count.line())
        elif self._clock() > self._due:
            self._due = self._clock() + _LINE_S
            self._console.print(count.line(), soft_wrap=True)


def errors(count: int) -> str:
    """Return a number of errors in words."""
    return "1 error" if count == 1 else f"{count:,} errors"
