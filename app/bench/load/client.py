"""An HTTP/1.1 client with little CPU cost: it sends prebuilt bytes over kept connections."""

import asyncio
from typing import NamedTuple, cast

import httptools

from app.bench.load.target import Target

# The client does not reuse a connection that was idle for longer than this, because the server may
# be about to close it, and this race would look like an error of the server. uvicorn closes an idle
# connection after 5 s.
_MAX_IDLE_S = 2.0


class Response(NamedTuple):
    """The status and the whole body of an answer."""

    status: int
    body: bytes


class Connection(asyncio.Protocol):
    """A connection that carries one request at a time. Its HTTP parser calls its `on_` methods."""

    def __init__(self) -> None:
        self.usable = True
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Response] | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self._idle_since = asyncio.get_running_loop().time()

    async def exchange(self, request: bytes) -> Response:
        """Send a request and return its answer.

        Raises:
            ConnectionError: the connection ended before the answer, or the answer is not HTTP.
        """
        if self._transport is None or not self.usable:
            raise ConnectionResetError
        loop = asyncio.get_running_loop()
        self._answer = loop.create_future()
        self._transport.write(request)
        try:
            return await self._answer
        finally:
            self._idle_since = loop.time()
            # An answer that still arrives would be taken for the answer to the next request.
            if not self._answer.done() or self._answer.cancelled():
                self.close()

    def fresh(self) -> bool:
        """Tell whether the connection may carry another request."""
        return self.usable and asyncio.get_running_loop().time() - self._idle_since < _MAX_IDLE_S

    def close(self) -> None:
        """Close the connection at once."""
        self.usable = False
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport that the event loop opened."""
        # uvloop's transport does not inherit from asyncio.Transport.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the exchange that still waits for its answer."""
        self.usable = False
        self._fail(exc if isinstance(exc, ConnectionError) else ConnectionResetError())

    def data_received(self, data: bytes) -> None:
        """Give received bytes to the parser."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._fail(ConnectionError("not HTTP"))
            self.close()

    def on_body(self, body: bytes) -> None:
        """Collect a piece of the body."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Complete the exchange that waits for this answer."""
        response = Response(self._parser.get_status_code(), b"".join(self._body))
        self._body.clear()
        if not self._parser.should_keep_alive():
            self.usable = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(response)

    def _fail(self, error: ConnectionError) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)


class Connections:
    """A pool of connections. It opens up to `limit` of them and reuses the last used one first."""

    def __init__(self, target: Target, limit: int) -> None:
        self.target = target
        self._permits = asyncio.Semaphore(limit)
        self._idle: list[Connection] = []

    async def exchange(self, request: bytes) -> Response:
        """Send a request on an idle connection or a new one, and return its answer.

        Raises:
            OSError: no connection can be opened, or it ended before the answer.
        """
        async with self._permits:
            connection = await self._take()
            response = await connection.exchange(request)
            if connection.usable:
                self._idle.append(connection)
            else:
                connection.close()
            return response

    def close(self) -> None:
        """Close all idle connections."""
        while self._idle:
            self._idle.pop().close()

    async def _take(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.fresh():
                return connection
            connection.close()
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(Connection, self.target.host, self.target.port)
        return connection
