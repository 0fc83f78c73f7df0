"""Requests on bare sockets to the real server: each gets one answer, wherever its bytes are cut."""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from posting import FILE_FIELD, form, png
from running import RunningServer, until

FORM = form((FILE_FIELD, png()))
HEAD = b"POST /predict HTTP/1.1\r\nHost: test\r\nContent-Type: multipart/form-data; boundary=b\r\n"
PHOTO = HEAD + b"Content-Length: %d\r\n\r\n%s" % (len(FORM), FORM)
ALIVE = b"GET /health/live HTTP/1.1\r\nHost: test\r\n\r\n"
H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQA\r\n"


@pytest.fixture(scope="module")
def server(small_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    log = tmp_path_factory.mktemp("requests") / "log"
    with RunningServer(small_bundle, log, workers=1, batch_timeout_s=60, deadline_s=60) as server:
        yield server


def chunked(data: bytes, size: int) -> bytes:
    pieces = (data[i : i + size] for i in range(0, len(data), size))
    written = b"".join(b"%x;note=x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + written + b"0\r\nX-Trailer: 1\r\n\r\n"


def cut(data: bytes, way: str) -> Sequence[bytes]:
    """Return the pieces of a request: one, two at the end of its head, or single bytes."""
    if way == "whole":
        return [data]
    if way == "head and body":
        head, end, body = data.partition(b"\r\n\r\n")
        return [head + end, body]
    return [data[i : i + 1] for i in range(len(data))]


def exchange(server: RunningServer, pieces: Sequence[bytes], end: bool = True) -> bytes:
    """Send `pieces` and return all that the server sends until it closes the connection.

    With `end`, the client shuts down its sending side after the last piece.
    """
    with socket.create_connection(("127.0.0.1", server.port), 60) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            connection.sendall(piece)
            if len(pieces) == 2:
                time.sleep(0.1)
        if end:
            connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def statuses(got: bytes) -> list[int]:
    """Return the statuses of the final answers in `got`."""
    lines = (line for line in got.split(b"\r\n") if line.rpartition(b"}")[2].startswith(b"HTTP/1"))
    found = [int(line.rpartition(b"}")[2].split()[1]) for line in lines]
    return [status for status in found if status >= 200]


WAYS = ("whole", "head and body", "bytes")


@pytest.mark.parametrize("way", WAYS)
def test_a_body_is_never_a_request(server: RunningServer, way: str) -> None:
    length = b"Content-Length: %d\r\n\r\n" % len(ALIVE)
    for fields in (b"", H2C, b"Connection: upgrade\r\nUpgrade: websocket\r\n"):
        got = exchange(server, cut(HEAD + fields + length + ALIVE, way))
        assert statuses(got) == [400]
        assert b"malformed_body" in got


@pytest.mark.parametrize("way", WAYS)
def test_an_offered_upgrade_changes_nothing(server: RunningServer, way: str) -> None:
    upload = PHOTO.replace(b"Host: test\r\n", b"Host: test\r\n" + H2C)
    assert statuses(exchange(server, cut(upload, way))) == [200]
    alive = ALIVE.replace(b"Host: test\r\n", b"Host: test\r\n" + H2C)
    assert statuses(exchange(server, [(alive + upload) * 3])) == [200] * 6


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", [30, 1000])
def test_a_body_in_chunks_is_read(server: RunningServer, way: str, size: int) -> None:
    assert statuses(exchange(server, cut(chunked(FORM, size), way))) == [200]


MALFORMED = {
    "no Host": b"GET /health/live HTTP/1.1\r\n\r\n",
    "bare LF": b"GET /health/live HTTP/1.1\nHost: test\n\n",
    "folded": b"GET /health/live HTTP/1.1\r\nHost: test\r\nX: y\r\n z\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\n" + ALIVE,
    "length and chunks": HEAD
    + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    + ALIVE,
    "CONNECT": b"CONNECT test:1 HTTP/1.1\r\nHost: test:1\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a method that uvicorn refuses": b"NONSENSE / HTTP/1.1\r\nHost: test\r\n\r\n",
    "a path that uvicorn refuses": b"GET nowhere HTTP/1.1\r\nHost: test\r\n\r\n",
    "chunks": HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\nWiki\r\n0\r\n\r\n" + ALIVE,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_request_gets_400_and_ends(server: RunningServer, name: str, way: str) -> None:
    # Without an end of the client's, the server must close the connection.
    got = exchange(server, cut(MALFORMED[name], way), end=False)
    assert statuses(got) == [400]
    head, _, body = got.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head
    assert b"connection: close" in head
    problem = json.loads(body)
    assert (problem["code"], problem["status"]) == ("malformed_request", 400)
    assert f"x-request-id: {problem['request_id']}".encode() in head
    line = server.line_of(problem["request_id"])
    assert (line["status"], line["outcome"]) == (400, "malformed_request")


def test_a_malformed_request_is_counted(server: RunningServer) -> None:
    series = 'http_requests_total{dialect="",method="OTHER",route="unmatched",status="400"}'

    def count() -> float:
        lines = server.client.get("/metrics").text.splitlines()
        return sum(float(line.split()[1]) for line in lines if series in line)

    before = count()
    exchange(server, [MALFORMED["no Host"]], end=False)
    assert count() == before + 1


def test_requests_in_a_row_are_answered_in_their_order(server: RunningServer) -> None:
    nowhere = b"GET /nowhere HTTP/1.1\r\nHost: test\r\n\r\n"
    row = PHOTO + nowhere + chunked(FORM, 100) + ALIVE + PHOTO + nowhere
    for size in (1, 100, len(row)):
        pieces = [row[i : i + size] for i in range(0, len(row), size)]
        assert statuses(exchange(server, pieces)) == [200, 404, 200, 200, 200, 404]


def test_what_follows_a_malformed_request_is_not_answered(server: RunningServer) -> None:
    got = exchange(server, [ALIVE + MALFORMED["no Host"] + ALIVE], end=False)
    assert statuses(got) == [200, 400]


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_who_half_closes_gets_an_answer(server: RunningServer, version: bytes) -> None:
    got = exchange(server, [PHOTO.replace(b"HTTP/1.1", b"HTTP/" + version)])
    assert statuses(got) == [200]
    assert version == b"1.1" or b"100 Continue" not in got


def test_half_a_request_gets_no_answer(server: RunningServer) -> None:
    for data in (PHOTO[:-5], PHOTO[:50], chunked(FORM, 100)[:-5]):
        assert exchange(server, [data]) == b""
    until(lambda: server.health()["in_flight_bytes"] == 0)


@pytest.mark.parametrize("half_first", [False, True])
def test_who_is_gone_is_noticed_while_the_photo_waits(
    server: RunningServer, half_first: bool
) -> None:
    (worker,) = server.workers()
    os.kill(worker, signal.SIGSTOP)
    try:
        with socket.create_connection(("127.0.0.1", server.port), 60) as connection:
            connection.sendall(PHOTO)
            until(lambda: server.health()["in_flight"] == 1)
            if half_first:
                connection.shutdown(socket.SHUT_WR)
                time.sleep(0.2)
                assert server.health()["in_flight"] == 1
        until(lambda: server.health()["in_flight"] == 0, timeout_s=10)
    finally:
        os.kill(worker, signal.SIGCONT)


def test_a_connection_is_kept_for_the_next_request(server: RunningServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.connect()
    first = connection.sock
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    # http.client sends an iterator in chunks.
    for body in (FORM, iter([FORM[:50], FORM[50:]]), FORM):
        connection.request("POST", "/predict", body, headers, encode_chunked=True)
        with connection.getresponse() as response:
            assert (response.status, b"predictions" in response.read()) == (200, True)
    assert connection.sock is first
    connection.close()


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
@pytest.mark.parametrize("option", ["--http1.1", "--http2", "--http1.0"])
def test_curl_gets_its_answer(server: RunningServer, option: str, tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(png())
    file = f"file=@{tmp_path}/photo.png"
    url = f"{server.url}/predict"
    command = ["curl", "-sS", option, "-w", "%{http_code}", "-F", file, url]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout.endswith("}200"), ended.stdout
