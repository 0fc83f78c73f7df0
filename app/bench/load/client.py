"""An HTTP/1.1 client that costs little: it sends prebuilt bytes over kept connections."""

import asyncio
from typing import NamedTuple, cast

import httptools

from app.bench.load.target import Target

# An idle connection is not used again after this: the server may be about to close it, and the
# race would look like a fault of the server's. uvicorn closes after 5 s.
_IDLE_S = 2.0


class Response(NamedTuple):
    """Status and whole body."""

    status: int
    body: bytes


class Connection(asyncio.Protocol):
    """One connection, one request at a time. Also the callbacks of its parser."""

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
            ConnectionError: the connection ended before the answer did, or it is no HTTP.
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
            if not self._answer.done() or self._answer.cancelled():
                self.close()  # what may still come would be taken for the next answer

    def fresh(self) -> bool:
        """Tell whether it may be used again."""
        return self.usable and asyncio.get_running_loop().time() - self._idle_since < _IDLE_S

    def close(self) -> None:
        """End the connection."""
        self.usable = False
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail whoever waits for an answer."""
        self.usable = False
        self._fail(exc if isinstance(exc, ConnectionError) else ConnectionResetError())

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._fail(ConnectionError("not HTTP"))
            self.close()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Hand the answer over."""
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
    """Connections opened as needed up to a bound, and used again, the last one first."""

    def __init__(self, target: Target, bound: int) -> None:
        self.target = target
        self._places = asyncio.Semaphore(bound)
        self._idle: list[Connection] = []

    async def exchange(self, request: bytes) -> Response:
        """Send a request on an idle connection or a new one, and return its answer.

        Raises:
            OSError: there is no connection to be had, or it ended before the answer did.
        """
        async with self._places:
            connection = await self._take()
            response = await connection.exchange(request)
            if connection.usable:
                self._idle.append(connection)
            else:
                connection.close()
            return response

    def close(self) -> None:
        """Close what is idle."""
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
