"""The door of the real server, on bare sockets: who waits, who is refused, and what follows."""

import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from posting import FILE_FIELD, form, png
from running import RunningServer, until
from speaking import ALL, SPEAKERS, Speaker

KEY = "a-key-0123456789"
PAGE = "https://photos.example"
FORM = form((FILE_FIELD, png()))
START = b"POST /predict HTTP/1.1\r\nHost: test\r\nContent-Type: multipart/form-data; boundary=b\r\n"
START += b"Authorization: Bearer " + KEY.encode() + b"\r\n"
ALIVE = b"GET /health/live HTTP/1.1\r\nHost: test\r\n\r\n"
LONG = b"x" * 3_000_000


def photo(fields: bytes = b"", body: bytes = FORM) -> bytes:
    """Return a request with a photo and these header fields."""
    return START + fields + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


def chunked(body: bytes) -> bytes:
    return START + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


SETTINGS = {"capacity": 1, "workers": 1, "api_keys": KEY, "dialects": ALL, "cors_origins": PAGE}
SETTINGS |= {"batch_timeout_s": 60, "deadline_s": 60}
HASTY_S = 0.3


@pytest.fixture(scope="module")
def server(small_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server whose clients wait as long as they need to."""
    log = tmp_path_factory.mktemp("door") / "log"
    with RunningServer(small_bundle, log, longest_wait_s=60, **SETTINGS) as server:
        yield server


@pytest.fixture(scope="module")
def hasty(small_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that soon refuses who waits."""
    log = tmp_path_factory.mktemp("hasty") / "log"
    with RunningServer(small_bundle, log, longest_wait_s=HASTY_S, **SETTINGS) as server:
        yield server


def connect(server: RunningServer, data: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port), 60)
    connection.sendall(data)
    return connection


def read(connection: socket.socket, answers: int = 1) -> bytes:
    """Read until this many answers have come, or until the server closes the connection."""
    got = b""
    while got.count(b"}", got.rfind(b"HTTP/1.1")) == 0 or got.count(b"HTTP/1.1 ") < answers:
        piece = connection.recv(65536)
        if not piece:
            break
        got += piece
    return got


@contextmanager
def full(server: RunningServer) -> Iterator[None]:
    """Let the only place be taken by a photo whose worker stands still; it goes on afterwards."""
    (worker,) = server.workers()
    os.kill(worker, signal.SIGSTOP)
    with connect(server, photo()) as first:
        try:
            until(lambda: server.health()["in_flight"] == 1)
            yield
        finally:
            os.kill(worker, signal.SIGCONT)
        assert b" 200 OK" in read(first)


def counted(server: RunningServer, name: str, labels: str) -> float:
    lines = server.client.get("/metrics").text.splitlines()
    found = [line for line in lines if line.startswith(f"classifier_{name}{labels} ")]
    return float(found[0].rpartition(" ")[2]) if found else 0.0


def test_who_waits_unread_is_answered_when_there_is_a_place(server: RunningServer) -> None:
    with ExitStack() as stack:
        with full(server):
            escaped = photo().replace(b"/predict", b"/%70redict?top_k=1")
            requests = (
                photo(),
                chunked(FORM),
                photo(b"Expect: 100-continue\r\n"),
                escaped,
                photo().replace(b"/predict", b"/explain"),
                photo().replace(b"/predict", b"/embed?normalize=true"),
            )
            clients = [stack.enter_context(connect(server, request)) for request in requests]
            until(lambda: server.health()["waiting"] == len(requests))
            assert server.status("/health/live") == 200
        for client in clients:
            assert b" 200 OK" in read(client, answers=1).replace(b"HTTP/1.1 100 Continue", b"")


@pytest.mark.parametrize("request_of", [photo, chunked], ids=["announced", "chunked"])
def test_a_refused_client_may_stay_and_its_body_is_no_request(
    hasty: RunningServer, request_of: type
) -> None:
    for body in (FORM, ALIVE, LONG):
        request = request_of(body=body)
        with full(hasty), connect(hasty, request + ALIVE) as client:
            got = read(client, answers=2)
            assert got.startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
            assert got.count(b"HTTP/1.1 ") == 2
            assert got.endswith(b'{"status":"alive"}')
            client.sendall(ALIVE)
            assert read(client).endswith(b'{"status":"alive"}')


def test_a_refusal_has_its_id_and_its_place_in_metrics_and_log(hasty: RunningServer) -> None:
    before = counted(hasty, "outcomes_total", '{reason="overloaded"}')
    with full(hasty):
        refused = [hasty.client.build_request("POST", "/predict", content=FORM) for _ in range(3)]
        for request in refused:
            request.headers["Authorization"] = f"Bearer {KEY}"
            request.headers["X-Request-ID"] = "mine"
            answer = hasty.client.send(request)
            assert answer.status_code == 429
            assert answer.headers["content-type"] == "application/problem+json"
            assert int(answer.headers["retry-after"]) >= 1
            problem = answer.json()
            assert problem["request_id"] == answer.headers["x-request-id"] == "mine"
            assert (problem["code"], problem["status"]) == ("overloaded", 429)
    assert counted(hasty, "outcomes_total", '{reason="overloaded"}') == before + 3
    labels = '{dialect="own",method="POST",route="/predict",status="429"}'
    assert counted(hasty, "http_requests_total", labels) >= 3
    until(lambda: sum(line.get("count", 0) for line in hasty.logged()) == before + 3)


@pytest.mark.parametrize("path", ["/explain", "/embed"])
def test_a_refusal_is_counted_with_its_own_path(hasty: RunningServer, path: str) -> None:
    labels = f'{{dialect="own",method="POST",route="{path}",status="429"}}'
    before = counted(hasty, "http_requests_total", labels)
    with full(hasty), connect(hasty, photo().replace(b"/predict", path.encode())) as client:
        assert read(client).startswith(b"HTTP/1.1 429 ")
    assert counted(hasty, "http_requests_total", labels) == before + 1


def spoken(server: RunningServer, speaker: Speaker) -> tuple[bytes, bytes]:
    """Return the head and the body of a request with a photo in a dialect."""
    model = server.health()["model"]["name"]
    fields, body = speaker.wrap(png())
    fields |= {"Host": "test", "Authorization": f"Bearer {KEY}", "Content-Length": str(len(body))}
    lines = [f"POST {speaker.path.format(model=model)} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    return "\r\n".join((*lines, "", "")).encode(), body


@pytest.mark.parametrize("speaker", SPEAKERS, ids=str)
def test_each_dialect_waits_at_the_door_unread(server: RunningServer, speaker: Speaker) -> None:
    head, body = spoken(server, speaker)
    with full(server):
        client = connect(server, head)
        until(lambda: server.health()["waiting"] == 1)
        assert server.health()["in_flight_bytes"] < 2 * len(photo())
    with client:
        client.sendall(body)
        answer = read(client)
        assert answer.startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize("speaker", SPEAKERS, ids=str)
def test_each_dialect_is_refused_at_the_door_in_its_own_form(
    hasty: RunningServer, speaker: Speaker
) -> None:
    head, _ = spoken(hasty, speaker)
    labels = f'{{dialect="{speaker.dialect}",method="POST",route="{speaker.path}",status="429"}}'
    with full(hasty), connect(hasty, head) as client:
        got, _, body = read(client).partition(b"\r\n\r\n")
        assert got.startswith(b"HTTP/1.1 429 ")
        assert b"\r\ncontent-type: application/json\r\n" in got
        assert b"\r\nretry-after: " in got
        error = json.loads(body)
        assert tuple(error) == speaker.fields
        assert "full" in speaker.error(error)
    assert counted(hasty, "http_requests_total", labels) == 1


def test_a_client_that_allows_less_is_told_so(server: RunningServer) -> None:
    with full(server), connect(server, photo(b"X-Deadline-Ms: 50\r\n")) as client:
        got = read(client)
        assert got.startswith(b"HTTP/1.1 504 ")
        assert b'"deadline_unreachable"' in got
    # Of two deadlines the first one counts, as in the application.
    with full(server), connect(server, photo(b"X-Deadline-Ms: 50\r\n" * 2)) as client:
        assert read(client).startswith(b"HTTP/1.1 504 ")


@pytest.mark.parametrize("end", [b"Connection: close\r\n", None], ids=["close", "HTTP/1.0"])
def test_a_refusal_ends_a_connection_that_is_not_kept(
    hasty: RunningServer, end: bytes | None
) -> None:
    request = photo(end) if end else photo().replace(b"HTTP/1.1", b"HTTP/1.0", 1)
    with full(hasty), connect(hasty, request) as client:
        got = b"".join(iter(lambda: client.recv(65536), b""))
        assert got.startswith(b"HTTP/1.1 429 ")
        assert b"\r\nconnection: close\r\n" in got


def test_who_is_refused_anyway_does_not_wait(server: RunningServer) -> None:
    known = b"Bearer " + KEY.encode()
    cases = {
        photo().replace(known, b"Bearer a-key-9876543210"): b"HTTP/1.1 401 ",
        photo().replace(known, b"Basic " + KEY.encode()): b"HTTP/1.1 401 ",
        START + b"Content-Length: 99000000\r\n\r\n": b"HTTP/1.1 413 ",
        photo().replace(b"/predict", b"/predicted"): b"HTTP/1.1 404 ",
    }
    with full(server):
        for request, status in cases.items():
            with connect(server, request) as client:
                assert read(client).startswith(status)
                assert server.health()["waiting"] == 0


def test_who_leaves_the_line_keeps_nobody_waiting(server: RunningServer) -> None:
    before = counted(server, "outcomes_total", '{reason="overloaded"}')
    with full(server):
        left = [connect(server, photo()) for _ in range(20)]
        until(lambda: server.health()["waiting"] == 20)
        for client in left:
            client.close()
        until(lambda: server.health()["waiting"] == 0)
        assert counted(server, "outcomes_total", '{reason="overloaded"}') == before
        last = connect(server, photo())
    with last:
        assert b" 200 OK" in read(last)
    until(lambda: server.health()["waiting"] == server.health()["in_flight"] == 0)


def test_a_client_that_sends_no_more_waits_as_well(server: RunningServer) -> None:
    with full(server):
        client = connect(server, photo())
        client.shutdown(socket.SHUT_WR)
        until(lambda: server.health()["waiting"] == 1)
    with client:
        assert b" 200 OK" in read(client, answers=2)


def test_who_waits_while_the_server_stops_is_answered(small_bundle: Path, tmp_path: Path) -> None:
    settings = {"capacity": 1, "workers": 1, "longest_wait_s": 30, "drain_delay_s": 0}
    server = RunningServer(small_bundle, tmp_path / "log", batch_timeout_s=60, **settings)
    with server, ExitStack() as stack:
        with full(server):
            clients = [stack.enter_context(connect(server, photo())) for _ in range(3)]
            until(lambda: server.health()["waiting"] == 3)
            server.process.send_signal(signal.SIGTERM)
            # By now, the port is closed.
            until(lambda: server.status("/health/live") is None)
            time.sleep(0.5)
        for client in clients:
            got = b"".join(iter(lambda client=client: client.recv(65536), b""))  # type: ignore[misc]
            assert got.startswith(b"HTTP/1.1 200 OK\r\n")
        assert server.process.wait(30) == 0


def test_who_waits_for_longer_than_the_shutdown_takes_is_refused(
    small_bundle: Path, tmp_path: Path
) -> None:
    settings = {"capacity": 1, "workers": 1, "longest_wait_s": 60, "batch_timeout_s": 60}
    shares = {"api_keys": KEY, "key_concurrency": 2}
    shutdown = {"drain_delay_s": 0, "drain_timeout_s": 1}
    server = RunningServer(small_bundle, tmp_path / "log", **settings, **shares, **shutdown)
    with server, ExitStack() as stack:
        (worker,) = server.workers()
        os.kill(worker, signal.SIGSTOP)
        # One is inside, one waits at the door, and one for its key's share.
        clients = [stack.enter_context(connect(server, photo())) for _ in range(3)]
        until(lambda: server.health()["in_flight"] == server.health()["waiting"] == 1)
        server.process.send_signal(signal.SIGTERM)
        for client in clients:
            got = b"".join(iter(lambda client=client: client.recv(65536), b""))  # type: ignore[misc]
            assert got.startswith(b"HTTP/1.1 503 ")
            assert b'"draining"' in got
        assert server.process.wait(30) == 0


def test_a_strangers_web_page_never_waits(server: RunningServer) -> None:
    with full(server):
        asked = time.monotonic()
        with connect(server, photo(b"Origin: https://elsewhere.example\r\n")) as stranger:
            assert b"HTTP/1.1 403 " in read(stranger)
        # The door would let it wait for a minute.
        assert time.monotonic() - asked < 30


def test_an_allowed_web_page_reads_a_refusal(hasty: RunningServer) -> None:
    with full(hasty), connect(hasty, photo(b"Origin: " + PAGE.encode() + b"\r\n")) as page:
        refused = read(page)
    assert b"HTTP/1.1 429 " in refused
    assert b"\r\nretry-after: " in refused
    assert b"\r\naccess-control-allow-origin: " + PAGE.encode() in refused
    assert b"Retry-After" in refused.partition(b"access-control-expose-headers: ")[2]
