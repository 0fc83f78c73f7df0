"""HTTP on bare sockets: a client that can stop in the middle of a request and costs little CPU."""

import http.client
import json
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass

# This is far beyond the server's own deadline. After it, the server has forgotten the client.
TIMEOUT_S = 60


@dataclass(frozen=True)
class Answer:
    """The server's answer.

    Attributes:
        status: the HTTP status.
        code: the code of a problem; "ok" for a 200.
        detail: what a problem says of itself.
        label: the label of the best prediction; None without predictions.
        closes: True if the server closes the connection after this answer.
    """

    status: int
    code: str
    detail: str | None
    label: str | None
    closes: bool


def form(data: bytes, field: str = "file") -> bytes:
    """Return a multipart body with `data` in the given field."""
    head = f'--b\r\nContent-Disposition: form-data; name="{field}"; filename="f"\r\n\r\n'
    return head.encode() + data + b"\r\n--b--\r\n"


def request(body: bytes, headers: Mapping[str, str] | None = None) -> bytes:
    """Return the bytes of a whole request to /predict."""
    lines = [
        "POST /predict HTTP/1.1",
        "Host: test",
        "Content-Type: multipart/form-data; boundary=b",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in (headers or {}).items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def connect(port: int) -> socket.socket:
    """Open a connection and return it.

    Raises:
        ConnectionRefusedError: no process listens on the port.
    """
    return socket.create_connection(("127.0.0.1", port), TIMEOUT_S)


def receive(connection: socket.socket) -> Answer:
    """Read one answer and return it.

    Raises:
        OSError, http.client.HTTPException: no complete answer came.
    """
    response = http.client.HTTPResponse(connection)
    response.begin()
    body = json.loads(response.read())
    best = body.get("predictions", [{}])[0]
    return Answer(
        response.status,
        body.get("code", "ok"),
        body.get("detail"),
        best.get("label"),
        bool(response.will_close),
    )


def ask(port: int, body: bytes, headers: Mapping[str, str] | None = None) -> Answer:
    """Send one request on a new connection and return its answer."""
    with connect(port) as connection:
        connection.sendall(request(body, headers))
        return receive(connection)


def abort(connection: socket.socket) -> None:
    """Close a connection with a reset, as happens to a phone that loses its network in a tunnel."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def probe(port: int, path: str) -> int:
    """Return the status of a GET on a new connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()
