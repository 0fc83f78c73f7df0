"""HTTP by hand: a client that can stop in the middle, and that costs the two cores little."""

import http.client
import json
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass

TIMEOUT_S = 60  # far beyond the server's own deadline: who waits so long was forgotten


@dataclass(frozen=True)
class Answer:
    """What a caller got: its status, its code ("ok" for a photo's answer) and its best label."""

    status: int
    code: str
    label: str | None
    closes: bool


def form(data: bytes, field: str = "file") -> bytes:
    """Return a multipart body with `data` in one of its fields."""
    head = f'--b\r\nContent-Disposition: form-data; name="{field}"; filename="f"\r\n\r\n'
    return head.encode() + data + b"\r\n--b--\r\n"


def request(body: bytes, headers: Mapping[str, str] | None = None) -> bytes:
    """Return a whole request to /predict."""
    lines = [
        "POST /predict HTTP/1.1",
        "Host: test",
        "Content-Type: multipart/form-data; boundary=b",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in (headers or {}).items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def connect(port: int) -> socket.socket:
    """Open a connection; ConnectionRefusedError where nobody listens."""
    return socket.create_connection(("127.0.0.1", port), TIMEOUT_S)


def receive(connection: socket.socket) -> Answer:
    """Read one answer.

    Raises:
        OSError, http.client.HTTPException: there came none.
    """
    response = http.client.HTTPResponse(connection)
    response.begin()
    body = json.loads(response.read())
    best = body.get("predictions", [{}])[0]
    return Answer(
        response.status, body.get("code", "ok"), best.get("label"), bool(response.will_close)
    )


def ask(port: int, body: bytes, headers: Mapping[str, str] | None = None) -> Answer:
    """Send one request on a connection of its own and read its answer."""
    with connect(port) as connection:
        connection.sendall(request(body, headers))
        return receive(connection)


def abort(connection: socket.socket) -> None:
    """Close with a reset, as the network of somebody who enters a tunnel."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def probe(port: int, path: str) -> int:
    """Return the status of a GET on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()
