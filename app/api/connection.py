"""uvicorn's connection to a client, with limits where uvicorn itself sets none."""

import math
from asyncio import BaseTransport, TimerHandle
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.settings import Settings

_MAX_HEAD_BYTES = 64 * 1024


class Connection(HttpToolsProtocol):
    """Closes itself if no request arrives in time, or if a head or an unread body does not end.

    While the application handles a request, the application's own limits apply. After an early
    answer, such as a 429, the connection reads the rest of the body up to a limit and drops it:
    many clients read the answer only after they have sent the whole body, and closing at once
    would reset the connection before they see the answer.
    """

    def __init__(self, settings: Settings, **uvicorn_arguments: Any) -> None:  # noqa: ANN401
        super().__init__(**uvicorn_arguments)
        # Each pair is a time in seconds and a size in bytes.
        self._head_limits = (self.timeout_keep_alive, _MAX_HEAD_BYTES)
        self._rest_limits = (settings.upload_timeout_s, settings.capacity_bytes)
        self._bytes_left = math.inf
        self._timer: TimerHandle | None = None

    def connection_made(self, transport: BaseTransport) -> None:
        """Set the limits for the first request's head, because a client has connected."""
        super().connection_made(transport)  # type: ignore[arg-type]  # uvicorn's type is narrower
        self._set_limits(*self._head_limits)

    def connection_lost(self, exc: Exception | None) -> None:
        """Remove the limits, because the connection is closed."""
        super().connection_lost(exc)
        self._set_limits()

    def data_received(self, data: bytes) -> None:
        """Pass `data` on to uvicorn, and close the connection if the size limit is exceeded."""
        self._bytes_left -= len(data)
        super().data_received(data)
        if self._bytes_left < 0:
            self.transport.close()

    def on_message_begin(self) -> None:
        """Set the limits for the head anew, because its first byte has arrived."""
        super().on_message_begin()
        self._set_limits(*self._head_limits)

    def on_headers_complete(self) -> None:
        """Remove the limits, because the application's own limits apply now."""
        super().on_headers_complete()
        self._set_limits()

    def on_message_complete(self) -> None:
        """Set the limits for the next head if this request was answered before its body ended."""
        super().on_message_complete()
        if self.cycle.response_complete:
            self._set_limits(*self._head_limits)

    def on_response_complete(self) -> None:
        """Set the limits for the rest of the answered request, or else for the next head."""
        super().on_response_complete()
        # If the client has sent another request meanwhile, `cycle` is that request, unanswered.
        if self.cycle.response_complete:
            limits = self._rest_limits if self.cycle.more_body else self._head_limits
            self._set_limits(*limits)

    def _set_limits(self, seconds: float | None = None, size: float = math.inf) -> None:
        """Close the connection after `seconds` or `size` bytes, unless new limits are set before.

        Without arguments there is no limit.
        """
        self._bytes_left = size
        if self._timer:
            self._timer.cancel()
        close = self.timeout_keep_alive_handler
        self._timer = None if seconds is None else self.loop.call_later(seconds, close)
