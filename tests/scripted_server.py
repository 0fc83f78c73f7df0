"""A small HTTP server for the tests of the load tool. A script decides on each of its answers."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from app.bench.load.photos import PhotoFile
from app.bench.load.target import Target

# Status and body of an answer. For None, the server drops the connection.
Reply = tuple[int, bytes] | None
Script = Callable[[str], Awaitable[Reply]]

BLACK, GREY, WHITE = (f"photo-{name}" for name in ("black", "grey", "white"))
PHOTOS = [
    PhotoFile(name, name.encode(), class_index=i) for i, name in enumerate((BLACK, GREY, WHITE))
]
# The classes that the server answers with. The last one differs from the photo's label.
CLASSES = {BLACK: 0, GREY: 1, WHITE: 5}


def answer(class_id: int = 3, score: float = 0.5) -> bytes:
    """Return the body of a 200 with one prediction."""
    return json.dumps({"predictions": [{"class_id": class_id, "score": score}]}).encode()


async def right(photo: str) -> Reply:
    return 200, answer(CLASSES[photo], 0.75)


def constant(*replies: Reply) -> Script:
    """Return a script that gives each reply once, and from then on the last one."""
    turn = iter(replies)

    async def script(_: str) -> Reply:
        return next(turn, replies[-1])

    return script


class ScriptedServer:
    """A server that answers as its current script says.

    Attributes:
        script: the current script, which gets a photo's name and returns the reply.
        later: the script that a test makes the current one after the reference answers.
        heads: the heads of all requests so far.
        connections: the number of connections that clients have opened.
    """

    def __init__(self, later: Script = right) -> None:
        self.script: Script = right
        self.later = later
        self.heads: list[str] = []
        self.connections = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Target]:
        async with await asyncio.start_server(self._serve, "127.0.0.1", 0) as server:
            yield Target("127.0.0.1", server.sockets[0].getsockname()[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await self._head(reader):
                length = re.search(r"Content-Length: (\d+)", head)
                body = (await reader.readexactly(int(length[1]) if length else 0)).decode("latin-1")
                photo = re.search(r"photo-\w+", body)
                reply = await self.script(photo[0] if photo else "")
                if reply is None:
                    break
                status, content = reply
                start = f"HTTP/1.1 {status} X\r\nContent-Length: {len(content)}\r\n\r\n"
                writer.write(start.encode() + content)
        except ConnectionError:
            pass
        finally:
            writer.transport.abort()

    async def _head(self, reader: asyncio.StreamReader) -> str:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
        except asyncio.IncompleteReadError:
            return ""
        self.heads.append(head)
        return head
