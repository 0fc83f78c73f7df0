"""Connections that would last for ever, on the real server: which end, and who may stay."""

import http.client
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from running import RunningServer, until

REFUSED = b"POST /predict HTTP/1.1\r\nHost: test\r\n"  # for want of a key
ALIVE = b"GET /health/live HTTP/1.1\r\nHost: test\r\n\r\n"


@pytest.fixture(scope="module")
def server(small_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    log = tmp_path_factory.mktemp("connection") / "log"
    settings = {
        "workers": 1,
        "api_keys": "a-key-0123456789",
        "capacity_bytes": 20_000_000,
        "upload_timeout_s": 5,  # as long as uvicorn waits for a head
    }
    with RunningServer(small_bundle, log, **settings) as server:
        yield server


def connect(server: RunningServer, data: bytes, answer: bytes = b"") -> socket.socket:
    """Send `data` on a new connection and read until `answer` has come."""
    connection = socket.create_connection(("127.0.0.1", server.port), 60)
    connection.sendall(data)
    read(connection, lambda got: answer in got)
    connection.setblocking(False)
    return connection


def read(connection: socket.socket, enough: Callable[[bytes], bool]) -> bytes:
    """Read until it is enough."""
    got = b""
    while not enough(got):
        piece = connection.recv(65536)
        assert piece, "the server has closed it"
        got += piece
    return got


def ended(connection: socket.socket, more: bytes = b"") -> bool:
    """Tell if the server has closed it; else send `more`."""
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


def test_who_keeps_the_server_waiting_is_disconnected(server: RunningServer) -> None:
    long, one = REFUSED + b"Content-Length: 100000\r\n\r\n", REFUSED + b"Content-Length: 1\r\n\r\n"
    cases = {  # what is sent, what is read then, and what is sent again and again after it
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
        callers = {
            name: (stack.enter_context(connect(server, data, answer)), more)
            for name, (data, answer, more) in cases.items()
        }

        def connected() -> list[str]:
            return [name for name, (caller, more) in callers.items() if not ended(caller, more)]

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
    """Clients like this one look for an answer when all is sent."""
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
