"""uvicorn's connection to a client, but every request is checked before uvicorn's parser sees it.

The parser reads heads only. This file gives the bodies to uvicorn itself, so no byte of a body can
become a request, whatever a head says.
"""

import socket
import time
from asyncio import BaseTransport, Future
from functools import partial
from typing import Any
from uuid import uuid4

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.api.access import request_id_of
from app.api.entrance import Entrance
from app.api.framing import Head
from app.api.incoming import MAX_HEAD_BYTES, Incoming
from app.api.limits import Limits
from app.api.refusals import refusal
from app.api.routes.direct import DirectRoute
from app.errors import Draining, MalformedRequest, ServiceError
from app.serving.admission import Turn
from app.serving.share import Place
from app.settings import Settings

# After a refusal that ends the connection, the client gets this time and these bytes to read it.
# Closing at once would reset the connection of a client that still sends.
_LINGER = (2.0, 10_000_000)
# Time for a client to read what fills the buffers.
_WRITE_TIMEOUT_S = 30.0
_HANG_UP_INTERVAL_S = 0.02


class Connection(HttpToolsProtocol):
    """Reads one request after the other, and closes itself if one does not arrive in time.

    While the application handles a request, the application's own limits apply. After an early
    answer, such as a 429, the connection reads the rest of the body up to a limit and drops it:
    many clients read the answer only after they have sent the whole body, and closing at once
    would reset the connection before they see the answer.

    A photo first waits at the door, and the server does not read its body meanwhile. A photo that
    is refused there never reaches the application.
    """

    def __init__(
        self,
        entrance: Entrance,
        settings: Settings,
        **uvicorn_arguments: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(**uvicorn_arguments)
        self._entrance = entrance
        # Each pair is a time in seconds and a size in bytes.
        self._head_limits = (self.timeout_keep_alive, MAX_HEAD_BYTES)
        self._rest_limits = (settings.upload_timeout_s, settings.capacity_bytes)
        self._limits = Limits(self.loop, self.timeout_keep_alive_handler)
        self._incoming = Incoming()
        # The client has shut down its sending side.
        self._half_closed = False
        # The turn of the request that waits at the door.
        self._waiting: Future[Turn] | None = None
        # The place of the request that is answered, if keys have limits.
        self._place: Place | None = None
        # Done when the client of the request that is answered has closed the connection.
        self._gone: Future[None] | None = None
        # The version of the request that waits or is answered.
        self._speaks_1_1 = False
        # The body that arrives now belongs to a request that was refused at the door.
        self._dropping = False
        # The connection has refused a request and only waits until the client has read that.
        self._lingering = False

    @property
    def _answering(self) -> bool:
        """Whether a request waits for the end of its answer."""
        return self.cycle is not None and not self.cycle.response_complete

    def connection_made(self, transport: BaseTransport) -> None:
        """Set the limits for the first request's head, because a client has connected."""
        super().connection_made(transport)  # type: ignore[arg-type]  # uvicorn's type is narrower
        self._limits.set(*self._head_limits)

    def connection_lost(self, exc: Exception | None) -> None:
        """Remove the limits, and leave the door, because the connection is closed."""
        super().connection_lost(exc)
        self._limits.set()
        if self._gone and not self._gone.done():
            self._gone.set_result(None)
        if self._waiting:
            self._waiting.cancel()
        self._release_place()

    def data_received(self, data: bytes) -> None:
        """Read on with `data`, and close the connection if a limit is exceeded."""
        self._unset_keepalive_if_required()
        self._limits.count(len(data))
        if not self._lingering:
            self._incoming.add(data)
            self._read_on()
        self._limits.enforce()

    def eof_received(self) -> bool:  # type: ignore[override]  # uvicorn always closes
        """Return whether a whole request is still to be answered; otherwise close the connection.

        Some clients and proxies shut down their sending side after the request.
        """
        # The last answer may have ended just now, and another whole request may follow it.
        self._read_on()
        self._half_closed = True
        if not self._waiting and (not self._answering or self._incoming.in_body):
            return False
        if self._speaks_1_1 and (self._waiting or not self.cycle.response_started):
            # A half-closed client skips this response. The kernel of a client that has closed its
            # socket answers with a reset.
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._watch_for_reset()
        return True

    def on_message_complete(self) -> None:
        """Set the limits for the next head if this request was answered before its body ended."""
        super().on_message_complete()
        # Only a connection that reads notices that its client leaves.
        self.flow.resume_reading()
        if self.cycle.response_complete:
            self._limits.set(*self._head_limits)

    def on_response_complete(self) -> None:
        """Set the limits for the rest of the answered request, or else for the next head."""
        super().on_response_complete()
        self._release_place()
        limits = self._rest_limits if self._incoming.in_body else self._head_limits
        self._limits.set(*limits)
        # The client may have sent its next request already.
        self.loop.call_soon(self._read_on)

    def pause_writing(self) -> None:
        """Read no further request while the client does not read the answers, but not for ever."""
        super().pause_writing()
        self._limits.set(_WRITE_TIMEOUT_S)

    def resume_writing(self) -> None:
        """Read on, because the client has read."""
        super().resume_writing()
        self._limits.set(*(() if self._answering else self._head_limits))
        self.loop.call_soon(self._read_on)

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection; what the client does not read would keep it open for ever."""
        if self.flow.write_paused:
            self.transport.abort()
        super().timeout_keep_alive_handler()

    def shutdown(self) -> None:
        """Close the connection when its last request is answered, even if it waits at the door."""
        if not self._waiting:
            super().shutdown()

    def end_wait(self) -> None:
        """Refuse the request that waits at the door, because the time of the shutdown is over."""
        if self._waiting:
            self._waiting.cancel()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002
        """Refuse a request that our checks have passed, but not uvicorn's parser."""
        self._refuse(MalformedRequest())

    def _read_on(self) -> None:
        """Read what has arrived, up to the end of a request that is not answered yet."""
        try:
            while self._incoming.unread and self._may_read() and self._read_next():
                pass
        except MalformedRequest as error:
            (self._give_up_body if self._incoming.in_body else self._refuse)(error)
        if self._waiting:
            return
        if self._half_closed and (self._incoming.in_body or not self._answering):
            self.transport.close()

    def _may_read(self) -> bool:
        if self.transport.is_closing() or self._lingering or self.flow.write_paused:
            return False
        if self._waiting or (self._answering and not self._incoming.in_body):
            # As long as the connection reads, it notices that the client leaves.
            if len(self._incoming.unread) > HIGH_WATER_LIMIT:
                self.flow.pause_reading()
            return False
        return True

    def _read_next(self) -> bool:
        """Read a head or a piece of a body, and return whether there may be more to read."""
        if self._incoming.in_body:
            self._pass_on(self._incoming.body())
            return True
        begun = self._incoming.in_head
        head = self._incoming.head()
        if head:
            self._begin(head)
        elif self._incoming.in_head and not begun:
            # The first byte of a head has arrived, so its time begins.
            self._limits.set(*self._head_limits)
        return head is not None

    def _begin(self, head: Head) -> None:
        """Begin with a request. Its limits end here: the door and the application have their own.

        A photo's turn may come now or later.
        """
        self._limits.set()
        self._unset_keepalive_if_required()
        self._speaks_1_1 = head.version == b"1.1"
        route = self._entrance.guarded_route(head)
        if route is None:
            self._start(head)
            return
        started = time.perf_counter()
        try:
            turn = self._entrance.ask(head)
        except ServiceError as error:
            self._turn_away(head, route, error, started)
            return
        if turn.done():
            self._start(head, turn=turn.result(), route=route)
        else:
            self._waiting = turn
            turn.add_done_callback(partial(self._on_turn, head, route, started))

    def _on_turn(self, head: Head, route: DirectRoute, started: float, turn: Future[Turn]) -> None:
        """Go on with a request that has waited at the door."""
        self._waiting = None
        error = Draining(retry_after_s=1) if turn.cancelled() else turn.exception()
        if error is None:
            self._place = turn.result().place
        if self.transport.is_closing():
            # The client has left in this very moment; its turn soon ends by itself.
            self._release_place()
            return
        self.flow.resume_reading()
        if isinstance(error, ServiceError):
            self._turn_away(head, route, error, started)
        else:
            self._start(head, turn=turn.result(), route=route)
        self._read_on()

    def _start(self, head: Head, **state: Turn | DirectRoute) -> None:
        """Give a request's head to uvicorn, which starts the application with it.

        Args:
            head: the head.
            **state: what the application finds in the request's state.
        """
        self._gone = self.loop.create_future()
        self.app_state = {"gone": self._gone, **state}
        self.parser = httptools.HttpRequestParser(self)
        super().data_received(head.data)

    def _turn_away(
        self, head: Head, route: DirectRoute, error: ServiceError, started: float
    ) -> None:
        """Refuse a request at the door. Its body is dropped as it arrives."""
        close = not head.persistent or self._entrance.draining
        request_id = request_id_of(head.text("x-request-id"))
        headers = (*self.server_state.default_headers, *self._entrance.headers(head))
        self.transport.write(refusal(error, request_id, headers, close, route.error_form))
        self._entrance.record(head, route, error, started)
        if close:
            self._end()
            return
        self._dropping = self._incoming.in_body
        self._limits.set(*(self._rest_limits if self._dropping else self._head_limits))

    def _pass_on(self, piece: bytes) -> None:
        """Give a piece of a body to uvicorn, or drop it."""
        if self._dropping:
            self._dropping = self._incoming.in_body
            if not self._dropping:
                self._limits.set(*self._head_limits)
            return
        if piece:
            self.on_body(piece)
        if not self._incoming.in_body:
            self.on_message_complete()

    def _release_place(self) -> None:
        if self._place:
            self._place.release()
            self._place = None

    def _watch_for_reset(self) -> None:
        """Close the connection when its client turns out to be gone."""
        if self.transport.is_closing():
            return
        # After the client's end, the event loop does not read any more, so it sees no reset.
        channel = self.transport.get_extra_info("socket")
        if channel.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.transport.abort()
        else:
            self.loop.call_later(_HANG_UP_INTERVAL_S, self._watch_for_reset)

    def _refuse(self, error: MalformedRequest) -> None:
        """Answer a malformed request with 400, and end the connection.

        Nobody knows where the next request would begin.
        """
        request_id = uuid4().hex
        headers = self.server_state.default_headers
        self.transport.write(refusal(error, request_id, headers, close=True))
        self._entrance.record_malformed(error, request_id, self.client)
        self._end()

    def _give_up_body(self, error: MalformedRequest) -> None:
        """End a request whose body turns out to be malformed."""
        if self._dropping or self.cycle.response_started:
            self._end()
            return
        self._refuse(error)
        # The application sees a client that has closed its connection.
        self.cycle.disconnected = True
        self.cycle.message_event.set()

    def _end(self) -> None:
        """Send no more, and drop what the client still sends, until it closes the connection."""
        self._lingering = True
        self._release_place()
        self._limits.set(*_LINGER)
        self.transport.write_eof()
