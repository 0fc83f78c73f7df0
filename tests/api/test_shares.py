"""Limits by key on the real server: each protocol keeps them, and each end of a request gives back.

The greedy key may have one photo inside. While its worker stands still, that one holds the place.
"""

import json
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from calling import caller_of, ended, grpc_settings
from posting import FILE_FIELD, form, png
from running import RunningServer, stopped_worker, until
from speaking import ALL, SPEAKERS, Speaker

from app.errors import KeyBusy, KeyRate
from app.serving.shares import key_name

GREEDY, MODEST = "the-greedy-key-0123456789", "the-modest-key-0123456789"
KEYS = f"{GREEDY} {MODEST}"
FORM = form((FILE_FIELD, png()))
SEVERAL = form(*(('name="files"; filename="a"', png(color)) for color in range(8)))
BROKEN = form((FILE_FIELD, png()[:60]))
GRPC = grpc_settings()
LIMITED = (
    {
        "api_keys": KEYS,
        "key_concurrency": 1,
        "capacity": 4,
        "workers": 1,
        "longest_wait_s": 1,
        "upload_timeout_s": 3,
        "batch_timeout_s": 60,
        "deadline_s": 60,
    }
    | GRPC
    | {"dialects": f"{ALL},oip-grpc"}
)


@pytest.fixture(scope="module")
def server(small_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    log = tmp_path_factory.mktemp("shares") / "log"
    with RunningServer(small_bundle, log, **LIMITED) as server:
        yield server
        assert "Traceback" not in server.log.read_text()


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def head(*fields: str, path: str = "/predict", key: str = GREEDY) -> bytes:
    own = (f"Authorization: Bearer {key}", "Content-Type: multipart/form-data; boundary=b")
    return "\r\n".join((f"POST {path} HTTP/1.1", "Host: test", *own, *fields, "", "")).encode()


def request(body: bytes = FORM, path: str = "/predict", key: str = GREEDY, *fields: str) -> bytes:
    return head(f"Content-Length: {len(body)}", *fields, path=path, key=key) + body


def connect(server: RunningServer, data: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port), 60)
    connection.sendall(data)
    return connection


def status_of(connection: socket.socket) -> int:
    """Read one answer, and return its status."""
    return int(connection.makefile("rb").readline().split()[1])


def post(server: RunningServer, key: str, **fields: str) -> httpx.Response:
    files = {"file": ("photo", png())}
    return httpx.post(
        f"{server.url}/predict", files=files, headers=bearer(key) | fields, timeout=60
    )


def measured(server: RunningServer, name: str, key: str, labels: str = "") -> float:
    begin = f'classifier_{name}{{key="{key_name(key.encode())}"{labels}}} '
    lines = server.client.get("/metrics").text.splitlines()
    (found,) = [line for line in lines if line.startswith(begin)]
    return float(found.rpartition(" ")[2])


def inside(server: RunningServer, key: str = GREEDY) -> float:
    return measured(server, "key_in_flight_photos", key)


def refused(server: RunningServer, key: str = GREEDY, reason: str = "key_busy") -> float:
    return measured(server, "key_refused_total", key, f',reason="{reason}"')


@contextmanager
def held(server: RunningServer) -> Iterator[None]:
    """Let the greedy key's only place be taken by a photo whose worker stands still."""
    with ExitStack() as stack:
        with stopped_worker(server):
            first = stack.enter_context(connect(server, request()))
            until(lambda: server.health()["in_flight"] == 1)
            yield
        assert status_of(first) == 200
    until(lambda: inside(server) == 0)


def test_only_the_greedy_key_is_refused(server: RunningServer) -> None:
    before = refused(server)
    with ThreadPoolExecutor(1) as clients, held(server):
        modest = clients.submit(post, server, MODEST)
        until(lambda: inside(server, MODEST) == 1)
        answer = post(server, GREEDY)
        assert (inside(server), inside(server, MODEST)) == (1, 1)
    assert (answer.status_code, answer.json()["code"]) == (429, KeyBusy.code)
    assert int(answer.headers["retry-after"]) >= 1
    assert modest.result().status_code == 200
    assert (refused(server), refused(server, MODEST)) == (before + 1, 0)


@pytest.mark.parametrize("path", ["/predict", "/explain", "/embed", "/%70redict?top_k=1"])
def test_who_waits_for_the_share_is_answered_when_it_is_free(
    server: RunningServer, path: str
) -> None:
    before = measured(server, "key_requests_total", GREEDY)
    with ExitStack() as stack:
        with held(server):
            client = stack.enter_context(connect(server, request(path=path)))
            time.sleep(0.2)
            # The request does not wait at the door, where the modest key comes.
            assert (server.health()["waiting"], inside(server)) == (0, 1)
        assert status_of(client) == 200
    until(lambda: measured(server, "key_requests_total", GREEDY) == before + 2)


@pytest.mark.parametrize("path", ["/predict", "/explain", "/embed"])
def test_each_path_for_photos_keeps_the_limit(server: RunningServer, path: str) -> None:
    with held(server), connect(server, request(path=path)) as client:
        assert status_of(client) == 429


@pytest.mark.parametrize("speaker", SPEAKERS, ids=str)
def test_each_dialect_keeps_it_and_says_so_in_its_own_form(
    server: RunningServer, speaker: Speaker
) -> None:
    model = server.health()["model"]["name"]
    with held(server):
        answer = speaker.send(server.client, model, png(), **bearer(GREEDY))
        assert answer.status_code == 429
        assert KeyBusy.title in speaker.error(answer.json())
    assert speaker.send(server.client, model, png(), **bearer(GREEDY)).status_code == 200


def test_calls_over_grpc_keep_it(server: RunningServer) -> None:
    with caller_of(server, GRPC["grpc_port"]) as caller:
        before = refused(server)
        with held(server):
            outcome = caller.infer(png(), authorization=f"Bearer {GREEDY}")
            assert (outcome.code, outcome.outcome) == ("RESOURCE_EXHAUSTED", KeyBusy.code)
            assert int(outcome.trailers["retry-after"]) >= 1
        assert refused(server) == before + 1
        for _ in range(3):
            photos = [png(color) for color in range(4)]
            assert caller.infer(*photos, authorization=f"Bearer {GREEDY}").outcome == "ok"
        assert caller.infer(png()[:60], authorization=f"Bearer {GREEDY}").code != "OK"
        until(lambda: inside(server) == 0)


def test_a_call_that_is_cancelled_gives_its_place_back(server: RunningServer) -> None:
    with caller_of(server, GRPC["grpc_port"]) as caller:
        key = f"Bearer {GREEDY}"
        with stopped_worker(server):
            first = caller.start(caller.request(png()), authorization=key)
            until(lambda: inside(server) == 1)
            second = caller.start(caller.request(png()), authorization=key)
            second.cancel()
            first.cancel()
            until(lambda: inside(server) == 0)
            third = caller.start(caller.request(png()), timeout_s=0.5, authorization=key)
            assert ended(third).code == "DEADLINE_EXCEEDED"
            until(lambda: inside(server) == 0)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (request(), 200),
        (request(SEVERAL), 200),
        (request(BROKEN), 422),
        (request(b"--b--"), 422),
        (request(path="/predict?top_k=many"), 422),
        (request(SEVERAL, "/explain"), 422),
        (head("Transfer-Encoding: chunked") + b"zz\r\n", 400),
        (head("Content-Length: 9", "Content-Encoding: gzip"), 400),
        (head("Content-Length: 9"), 408),
        (request(FORM, "/predict", GREEDY, "Connection: close"), 200),
        (request().replace(b"HTTP/1.1", b"HTTP/1.0", 1), 200),
        (request().replace(b"POST", b"PUT", 1), 200),
    ],
)
def test_each_answer_gives_the_place_back(server: RunningServer, data: bytes, status: int) -> None:
    before = refused(server)
    with connect(server, data) as client:
        assert status_of(client) == status
        until(lambda: inside(server) == 0)
    assert post(server, GREEDY).status_code == 200
    assert refused(server) == before


def test_a_deadline_gives_it_back(server: RunningServer) -> None:
    with stopped_worker(server):
        answers = [post(server, GREEDY, **{"X-Deadline-Ms": "100"}) for _ in range(2)]
        assert {answer.json()["code"] for answer in answers} == {"deadline_exceeded"}
        assert inside(server) == 0


def test_a_client_that_leaves_gives_it_back(server: RunningServer) -> None:
    before = refused(server)
    with stopped_worker(server):
        # The first client leaves while its upload arrives, the next while the worker has its
        # photo, and the last ones while they wait for the place.
        for data in (request()[:-9], request(), request(SEVERAL)):
            with connect(server, data):
                until(lambda: inside(server) == 1)
            until(lambda: inside(server) == 0)
        with connect(server, request()):
            until(lambda: inside(server) == 1)
            for _ in range(20):
                connect(server, request()).close()
        until(lambda: inside(server) == 0)
    assert refused(server) == before
    assert post(server, GREEDY).status_code == 200


def test_several_photos_take_the_place_one_after_the_other(server: RunningServer) -> None:
    with ThreadPoolExecutor(1) as clients:
        with stopped_worker(server):
            answer = clients.submit(
                server.client.post,
                "/predict",
                content=SEVERAL,
                headers=bearer(GREEDY) | {"Content-Type": "multipart/form-data; boundary=b"},
            )
            until(lambda: inside(server) == 1)
            time.sleep(0.3)
            assert (server.health()["in_flight"], inside(server)) == (1, 1)
        results = answer.result().json()["results"]
    assert ["predictions" in each for each in results] == [True] * 8
    until(lambda: inside(server) == 0)


def test_the_log_has_one_line_for_the_refused(server: RunningServer) -> None:
    with held(server), ThreadPoolExecutor(3) as clients:
        list(clients.map(lambda _: post(server, GREEDY), range(3)))
    until(
        lambda: any(
            line.get("outcome") == KeyBusy.code and line.get("count") for line in server.logged()
        )
    )


def test_who_waits_for_a_share_while_the_server_stops_is_answered(
    small_bundle: Path, tmp_path: Path
) -> None:
    settings = LIMITED | {"drain_delay_s": 0, "longest_wait_s": 30, "dialects": ""}
    server = RunningServer(small_bundle, tmp_path / "log", **settings)
    with server, ExitStack() as stack:
        with stopped_worker(server):
            clients = [stack.enter_context(connect(server, request())) for _ in range(3)]
            until(lambda: server.health()["in_flight"] == 1)
            time.sleep(0.2)
            server.process.send_signal(signal.SIGTERM)
            until(lambda: server.status("/health/live") is None)
            time.sleep(0.5)
        assert [status_of(client) for client in clients] == [200] * 3
        assert server.process.wait(30) == 0


def test_a_rate_lets_a_burst_through_and_counts_each_photo(
    small_bundle: Path, tmp_path: Path
) -> None:
    settings = {"api_keys": KEYS, "key_photos_per_s": 0.01, "key_burst": 12, "workers": 1}
    with RunningServer(small_bundle, tmp_path / "log", longest_wait_s=0.2, **settings) as server:
        for _ in range(3):
            assert post(server, GREEDY).status_code == 200
        for _ in range(2):
            with connect(server, request(SEVERAL)) as client:
                assert status_of(client) == 200
        # 3 photos and 16 make a debt of 7, and the next photo needs an eighth token.
        answer = post(server, GREEDY)
        assert (answer.status_code, answer.json()["code"]) == (429, KeyRate.code)
        assert 700 < int(answer.headers["retry-after"]) <= 800
        assert post(server, MODEST).status_code == 200
        assert refused(server, reason="key_rate") == 1
        assert json.loads(answer.text)["title"] == KeyRate.title
