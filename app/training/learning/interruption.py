"""Ctrl-C as a wish that is heard between two steps."""

import signal
from types import FrameType
from typing import Any, Self


class Interrupted(Exception):
    """Somebody pressed Ctrl-C."""


class Interruption:
    """While entered, the first Ctrl-C (or SIGTERM) is kept for `check`; a second one kills."""

    def __init__(self) -> None:
        self._asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _hear(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002  (signal's form)
        self._asked = True
        signal.signal(number, signal.SIG_DFL)

    def check(self) -> None:
        """Raise Interrupted where somebody has asked for it."""
        if self._asked:
            raise Interrupted
