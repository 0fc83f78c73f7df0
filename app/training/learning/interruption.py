"""Ctrl-C during training: the run stops between two steps, so that it can be saved."""

import signal
from types import FrameType
from typing import Any, Self


class Interrupted(Exception):
    """The user pressed Ctrl-C, or the process got SIGTERM.

    Attributes:
        signal: the number of the signal.
    """

    def __init__(self, signal: int) -> None:
        super().__init__()
        self.signal = signal


class Interruption:
    """Inside its `with` block, `check` raises after the first Ctrl-C (SIGINT) or SIGTERM.

    A second signal of the same kind ends the process at once.
    """

    def __init__(self) -> None:
        self._signalled: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(
        self,
        number: int,
        frame: FrameType | None,  # noqa: ARG002  (`signal.signal` passes it)
    ) -> None:
        self._signalled = number
        signal.signal(number, signal.SIG_DFL)

    def check(self) -> None:
        """Raise Interrupted if a signal has arrived."""
        if self._signalled is not None:
            raise Interrupted(self._signalled)
