"""Connections to the real server: it closes those that would never end, and keeps the others."""

import http.client
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from running import RunningServer, until

# The server refuses this request, because it carries no key.
REFUSED = b"POST /predict HTTP/1.1\r\nHost: test\r\n"
ALIVE = b"GET /health/live HTTP/1.1\r\nHost: test\r\n\r\n"


@pytest.fixture(scope="module")
def server(small_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    log = tmp_path_factory.mktemp("connection") / "log"
    settings = {
        "workers": 1,
        "api_keys": "a-key-0123456789",
        "capacity_bytes": 20_000_000,
        # The server waits equally long for a request's head: uvicorn's default is 5 s as well.
        "upload_timeout_s": 5,
    }
    with RunningServer(small_bundle, log, **settings) as server:
        yield server


def connect(server: RunningServer, data: bytes, answer: bytes = b"") -> socket.socket:
    """Return a new connection on which `data` was sent and `answer` was read."""
    connection = socket.create_connection(("127.0.0.1", server.port), 60)
    connection.sendall(data)
    read(connection, lambda got: answer in got)
    connection.setblocking(False)
    return connection


def read(connection: socket.socket, enough: Callable[[bytes], bool]) -> bytes:
    """Read until `enough` accepts the bytes read so far, and return these bytes."""
    got = b""
    while not enough(got):
        piece = connection.recv(65536)
        assert piece, "the server has closed the connection"
        got += piece
    return got


def ended(connection: socket.socket, more: bytes = b"") -> bool:
    """Send `more`, and return whether the server has closed the connection."""
    with suppress(BlockingIOError):
        try:
            if more:
                connection.send(more)
            while connection.recv(65536):
                pass
        except ConnectionError:
            return True
        return True
    return False


@pytest.mark.slow
def test_who_keeps_the_server_waiting_is_disconnected(server: RunningServer) -> None:
    long, one = REFUSED + b"Content-Length: 100000\r\n\r\n", REFUSED + b"Content-Length: 1\r\n\r\n"
    # Each client sends the first bytes, reads until the second bytes have arrived, and then sends
    # the third bytes again and again.
    cases = {
        "silent": (b"", b"", b""),
        "empty lines": (b"", b"", b"\r\n"),
        "half a head": (b"GET / HT", b"", b""),
        "a head byte by byte": (b"GET / HTTP/1.1\r\nHost: test\r\nLong: ", b"", b"x"),
        "refused, no body": (long, b"}", b""),
        "refused, a body byte by byte": (long, b"}", b"x"),
        "refused, a body, empty lines": (one, b"}", b"\r\n"),
        "answered, empty lines": (ALIVE, b"}", b"\r\n"),
    }
    with ExitStack() as stack:
        clients = {
            name: (stack.enter_context(connect(server, data, answer)), more)
            for name, (data, answer, more) in cases.items()
        }

        def connected() -> list[str]:
            return [name for name, (client, more) in clients.items() if not ended(client, more)]

        with suppress(AssertionError):
            until(lambda: not connected())
        assert connected() == []


@pytest.mark.parametrize(
    ("data", "answer", "piece"),
    [
        (b"GET / HTTP/1.1\r\nHost: test\r\nLong: ", b"", b"x" * 100_000),
        (REFUSED + b"Content-Length: 9000000000\r\n\r\n", b"}", b"x" * 100_000),
        (
            REFUSED + b"Transfer-Encoding: chunked\r\n\r\n",
            b"}",
            b"186a0\r\n" + b"x" * 100_000 + b"\r\n",
        ),
    ],
    ids=["a head", "a body, announced", "a body in chunks"],
)
def test_what_has_no_end_is_not_read_to_it(
    server: RunningServer, data: bytes, answer: bytes, piece: bytes
) -> None:
    with connect(server, data, answer) as connection:
        connection.settimeout(60)
        with pytest.raises(ConnectionError):
            connection.sendall(piece * 1000)


def test_who_reads_only_after_sending_is_refused_and_may_stay(server: RunningServer) -> None:
    """This client looks for an answer only after it has sent the whole body, as many clients do."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.connect()
    first = connection.sock
    for size in (100, 9_000_000, 12_000_000, 100):
        connection.request("POST", "/predict", b"x" * size)
        with connection.getresponse() as response:
            assert (response.status, b"unauthorized" in response.read()) == (401, True)
    assert connection.sock is first
    connection.close()


def test_requests_that_come_before_their_turn_are_all_answered(server: RunningServer) -> None:
    refused = REFUSED + b"Content-Length: 300000\r\n\r\n" + b"x" * 300_000
    with socket.create_connection(("127.0.0.1", server.port), 60) as connection:
        connection.sendall((ALIVE + refused) * 20)
        got = read(connection, lambda got: got.count(b'"unauthorized"') == 20)
        assert got.count(b'{"status":"alive"}') == 20
