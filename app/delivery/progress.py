"""How far a download is, told to a watcher."""

import time
from collections.abc import Callable
from typing import Protocol

Report = Callable[[str], None]

REPORT_EVERY_S = 5.0


class Watcher(Protocol):
    """Is told how a download goes on."""

    def say(self, line: str) -> None:
        """Show a line, such as the reason of a retry."""

    def begin(self, size: int, total: int | None) -> None:
        """Show that the server begins to send what follows the first `size` of `total` bytes.

        After a break it begins again. The total is None if the server does not tell it.
        """

    def advance(self, count: int) -> None:
        """Show that `count` more bytes have arrived."""


class Lines:
    """A watcher that reports a line at the beginning, and then one every few seconds."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._size = 0
        self._total: int | None = None
        self._told = 0.0

    def say(self, line: str) -> None:
        """Report a line."""
        self._report(line)

    def begin(self, size: int, total: int | None) -> None:
        """Report how much is there already."""
        self._size, self._total = size, total
        self._told = time.monotonic()
        self._report(f"downloading {self._progress()}")

    def advance(self, count: int) -> None:
        """Report how much has arrived, if the last report was some time ago."""
        self._size += count
        if time.monotonic() - self._told >= REPORT_EVERY_S:
            self._told = time.monotonic()
            self._report(f"downloaded {self._progress()}")

    def _progress(self) -> str:
        size = f"{self._size / 1e6:.1f}"
        return f"{size} MB" if self._total is None else f"{size} of {self._total / 1e6:.1f} MB"
