"""Bounds the messages that arrive: how many at the same time, and for how long."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from app.errors import MalformedBody, Overloaded, UploadTimeout

# gRPC holds the beginnings of the messages that wait.
_MAX_WAITING = 256
# A message that has been arriving for longer gives way to those who wait.
_SLOW_S = 0.1


class Arrivals:
    """Lets a few messages arrive at the same time.

    gRPC tells how long a message is only when all of it has come, and until then it may have become
    as long as the longest. So only the number of messages that arrive bounds their bytes. Whoever
    sends slowly keeps nobody out: the slowest messages are ended when others wait.
    """

    def __init__(self, places: int, timeout_s: float) -> None:
        self._places = asyncio.Semaphore(places)
        self._timeout_s = timeout_s
        self._waiting = 0
        # The oldest message comes first.
        self._slow: deque[asyncio.Timeout] = deque()
        self._ending: set[asyncio.Timeout] = set()

    async def message(self, read: Callable[[], Awaitable[object]]) -> bytes:
        """Return the message that `read` reads.

        Raises:
            Overloaded: too many others wait.
            UploadTimeout: the message takes too long, or others wait and it is slow.
            MalformedBody: gRPC has refused the message, or there is none.
        """
        if self._waiting >= _MAX_WAITING:
            raise Overloaded(retry_after_s=1)
        try:
            async with asyncio.timeout(self._timeout_s) as limit, self._place(limit):
                message = await read()
        except TimeoutError:
            raise UploadTimeout(retry_after_s=1) from None
        if not isinstance(message, bytes):
            raise MalformedBody("The call has no message, or it is longer than a request may be")
        return message

    @asynccontextmanager
    async def _place(self, limit: asyncio.Timeout) -> AsyncIterator[None]:
        self._waiting += 1
        self._end_slow()
        try:
            await self._places.acquire()
        finally:
            self._waiting -= 1
        timer = asyncio.get_running_loop().call_later(_SLOW_S, self._becomes_slow, limit)
        try:
            yield
        finally:
            timer.cancel()
            if limit in self._slow:
                self._slow.remove(limit)
            self._ending.discard(limit)
            self._places.release()

    def _becomes_slow(self, limit: asyncio.Timeout) -> None:
        self._slow.append(limit)
        self._end_slow()

    def _end_slow(self) -> None:
        """End as many slow messages as others wait for a place. This function never awaits."""
        while self._slow and self._places.locked() and self._waiting > len(self._ending):
            limit = self._slow.popleft()
            self._ending.add(limit)
            if not limit.expired():
                limit.reschedule(asyncio.get_running_loop().time())
