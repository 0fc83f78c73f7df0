"""The limits of one connection while no application waits for its bytes."""

import math
from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable


class Limits:
    """Closes a connection when its time is over, or when more bytes have come than it may send."""

    def __init__(self, loop: AbstractEventLoop, close: Callable[[], None]) -> None:
        self._loop = loop
        self._close = close
        self._bytes_left = math.inf
        self._timer: TimerHandle | None = None

    def set(self, seconds: float | None = None, size: float = math.inf) -> None:
        """Close the connection after `seconds` or `size` bytes, unless new limits are set before.

        Without arguments there is no limit.
        """
        self._bytes_left = size
        if self._timer:
            self._timer.cancel()
        self._timer = None if seconds is None else self._loop.call_later(seconds, self._close)

    def count(self, size: int) -> None:
        """Take note of `size` bytes that have come."""
        self._bytes_left -= size

    def enforce(self) -> None:
        """Close the connection if more bytes have come than the limit allows."""
        if self._bytes_left < 0:
            self._close()
