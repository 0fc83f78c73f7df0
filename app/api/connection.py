"""A caller's connection: uvicorn's own, bounded where nothing else bounds it."""

import math
from asyncio import BaseTransport, TimerHandle
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.settings import Settings

_HEAD_BYTES = 64 * 1024


class Connection(HttpToolsProtocol):
    """Ends where no request comes, where a head has no end, or a body that nobody awaits.

    While the application is at work, its own bounds hold. What of a body comes after an early
    answer is read and dropped, within bounds: many callers send all before they read, and closing
    at once would reset them before they have seen the answer.
    """

    def __init__(self, settings: Settings, **of_uvicorn: Any) -> None:  # noqa: ANN401
        super().__init__(**of_uvicorn)
        self._head = (self.timeout_keep_alive, _HEAD_BYTES)
        self._rest = (settings.upload_timeout_s, settings.capacity_bytes)
        self._bytes_left = math.inf
        self._timer: TimerHandle | None = None

    def connection_made(self, transport: BaseTransport) -> None:
        """A caller is here; now a request's head shall come."""
        super().connection_made(transport)  # type: ignore[arg-type]  # narrower than asyncio's
        self._allow(*self._head)

    def connection_lost(self, exc: Exception | None) -> None:
        """The caller is gone."""
        super().connection_lost(exc)
        self._allow()

    def data_received(self, data: bytes) -> None:
        """Read on, and no further than what is allowed."""
        self._bytes_left -= len(data)
        super().data_received(data)
        if self._bytes_left < 0:
            self.transport.close()

    def on_message_begin(self) -> None:
        """A head's first byte is here; now the others shall come."""
        super().on_message_begin()
        self._allow(*self._head)

    def on_headers_complete(self) -> None:
        """Leave it to the application."""
        super().on_headers_complete()
        self._allow()

    def on_message_complete(self) -> None:
        """The rest after an early answer has an end; now the next request shall come."""
        super().on_message_complete()
        if self.cycle.response_complete:
            self._allow(*self._head)

    def on_response_complete(self) -> None:
        """Now the next request shall come, and before it what is left of this one."""
        super().on_response_complete()
        if self.cycle.response_complete:  # else another request has come meanwhile
            self._allow(*(self._rest if self.cycle.more_body else self._head))

    def _allow(self, seconds: float | None = None, size: float = math.inf) -> None:
        """Close after this time or this many bytes, unless the next step comes before."""
        self._bytes_left = size
        if self._timer:
            self._timer.cancel()
        end = self.timeout_keep_alive_handler
        self._timer = None if seconds is None else self.loop.call_later(seconds, end)
