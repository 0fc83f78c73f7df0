"""The real service in its own process with real weights, under everything that may go wrong."""

import os
import random
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import drawn
import httpx
import networks
import pytest
import skimage
from fastapi import FastAPI
from running import RunningServer, process_name, until

from app.api.server import DrainingServer
from app.settings import Settings

PHOTOS = {
    "chelsea.png": "tiger cat",
    "coffee.png": "espresso",
    "rocket.jpg": "missile",
    "camera.png": "tripod",
    "motorcycle_left.png": "motor scooter, scooter",
}


def photo(name: str) -> bytes:
    return (Path(skimage.__file__).parent / "data" / name).read_bytes()


CAT = photo("chelsea.png")


@pytest.fixture(scope="module")
def server(
    default_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    log = tmp_path_factory.mktemp("server") / "log"
    with RunningServer(default_bundle, log, workers=2, max_batch_size=8) as server:
        yield server


@pytest.fixture(autouse=True)
def _well_before_and_after(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each test of the shared server, a good photo still gets its right answer."""
    yield
    if "server" in request.fixturenames:
        server: RunningServer = request.getfixturevalue("server")
        until(lambda: server.health()["workers_up"] == 2)
        assert_cat(server.predict(CAT))
        assert server.health()["in_flight"] == 0


def assert_cat(response: httpx.Response) -> None:
    assert response.status_code == 200, response.text
    best, second = response.json()["predictions"][:2]
    assert (best["label"], second["label"]) == ("tiger cat", "Egyptian cat")
    assert best["score"] == pytest.approx(0.395, abs=0.01)


def form(data: bytes) -> bytes:
    """Return the bytes of an HTTP request whose form has the file `data`."""
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    body = head + data + b"\r\n--b--\r\n"
    return (
        b"POST /predict HTTP/1.1\r\nHost: test\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    )


def test_photos_sent_at_once_get_each_its_own_answer(server: RunningServer) -> None:
    names = list(PHOTOS) * 12
    with ThreadPoolExecutor(16) as clients:
        answers = list(clients.map(lambda name: server.predict(photo(name)), names))
    labels = [answer.json()["predictions"][0]["label"] for answer in answers]
    assert labels == [PHOTOS[name] for name in names]
    text = server.client.get("/metrics").text
    batches, photos = (
        float(line.split()[1])
        for name in ("count", "sum")
        for line in text.splitlines()
        if line.startswith(f"classifier_batch_photos_{name} ")
    )
    # Some photos shared a batch.
    assert photos > batches


def test_garbage_is_refused_piece_by_piece(server: RunningServer) -> None:
    rng = random.Random(7)  # noqa: S311  (the same uploads in every run)
    begins = [b"", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"II*\0", b"RIFF"]
    uploads = [rng.choice(begins) + rng.randbytes(rng.randrange(1, 5000)) for _ in range(50)]
    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(server.predict, uploads))
    assert {answer.status_code for answer in answers} <= {415, 422, 413}
    assert {answer.headers["content-type"] for answer in answers} == {"application/problem+json"}


@pytest.mark.parametrize("part", [1.0, 0.5], ids=["after the request", "half-way"])
def test_clients_that_hang_up_cost_nobody_anything(server: RunningServer, part: float) -> None:
    request = form(CAT)

    def hang_up(_: int) -> None:
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(request[: int(len(request) * part)])

    with ThreadPoolExecutor(20) as clients:
        list(clients.map(hang_up, range(200)))
        assert_cat(server.predict(CAT))
    until(lambda: server.health()["in_flight"] == 0)


def test_a_killed_worker_costs_only_its_own_batch(server: RunningServer) -> None:
    old = server.workers()
    with ThreadPoolExecutor(16) as clients:
        answers = clients.map(lambda _: server.predict(CAT), range(120))
        os.kill(old[0], signal.SIGKILL)
        statuses = [answer.status_code for answer in answers]
    assert set(statuses) <= {200, 503}
    # The killed worker had at most one batch.
    assert statuses.count(503) <= 8
    until(lambda: server.health()["workers_up"] == 2)
    assert old[0] not in server.workers()


def test_with_all_workers_killed_it_is_not_ready_until_one_is_back(server: RunningServer) -> None:
    server.kill_workers()
    assert server.status("/health/live") == 200
    until(server.ready)


def test_health_answers_while_every_worker_hangs(server: RunningServer) -> None:
    workers = server.workers()
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    with ThreadPoolExecutor(12) as clients:
        answers = clients.map(lambda _: server.predict(CAT), range(12))
        until(lambda: server.health()["in_flight"] == 12)
        assert server.status("/health/live") == 200
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
        for answer in answers:
            assert_cat(answer)


def test_each_request_is_one_json_line(server: RunningServer) -> None:
    server.client.get("/health/live", headers={"X-Request-ID": "find-me"})
    line = server.line_of("find-me")
    assert (line["method"], line["path"], line["status"]) == ("GET", "/health/live", 200)
    assert line["level"] == "INFO"
    assert line["duration_ms"] > 0


def test_a_log_that_nobody_takes_holds_up_nobody(small_bundle: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    os.mkfifo(log)
    reader = os.open(log, os.O_RDONLY | os.O_NONBLOCK)
    with RunningServer(small_bundle, log, workers=1) as server:
        # A pipe holds half of these lines.
        for _ in range(400):
            assert server.client.get("/health/live", timeout=10).status_code == 200
    os.close(reader)


def test_what_fails_in_a_worker_is_a_json_line_too(tmp_path: Path) -> None:
    networks.export_dazzled(tmp_path / "bundle")
    drawn.draw(tmp_path / "bright.png", (255, 255, 255), 1)
    with RunningServer(tmp_path / "bundle", tmp_path / "log", workers=1) as server:
        response = server.predict((tmp_path / "bright.png").read_bytes())
        assert (response.status_code, response.json()["code"]) == (500, "inference_failed")
        (line,) = [line for line in server.logged() if line["logger"] == "app.workers.child"]
        assert (line["level"], line["message"]) == ("ERROR", "a batch failed")
        assert "InferenceFailed" in line["exc_info"]


def test_on_sigterm_it_is_first_not_ready_but_serves(small_bundle: Path, tmp_path: Path) -> None:
    with RunningServer(small_bundle, tmp_path / "log", workers=1, drain_delay_s=600) as server:
        server.process.send_signal(signal.SIGTERM)
        until(lambda: server.status("/health/ready") == 503)
        assert server.status("/health/live") == 200
        assert server.predict(CAT).status_code == 200
        # The second signal ends the drain delay.
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(30) == 0
        assert server.status("/health/live") is None


def test_on_sigterm_what_is_inside_is_answered(small_bundle: Path, tmp_path: Path) -> None:
    settings = {"workers": 1, "batch_timeout_s": 60, "deadline_s": 60, "drain_delay_s": 0}
    with RunningServer(small_bundle, tmp_path / "log", **settings) as server:
        (worker,) = server.workers()
        os.kill(worker, signal.SIGSTOP)
        with ThreadPoolExecutor(6) as clients:
            answers = clients.map(lambda _: server.predict(CAT), range(6))
            until(lambda: server.health()["in_flight"] == 6)
            server.process.send_signal(signal.SIGTERM)
            until(lambda: server.status("/health/live") is None)
            os.kill(worker, signal.SIGCONT)
            assert [answer.status_code for answer in answers] == [200] * 6
        assert server.process.wait(30) == 0
        assert not process_name(worker)


def test_whom_the_drain_cuts_off_is_told_so(small_bundle: Path, tmp_path: Path) -> None:
    settings = {"workers": 1, "batch_timeout_s": 60, "deadline_s": 60, "log_format": "json"}
    settings |= {"drain_delay_s": 0, "drain_timeout_s": 1}
    with RunningServer(small_bundle, tmp_path / "log", **settings) as server:
        os.kill(server.workers()[0], signal.SIGSTOP)
        with ThreadPoolExecutor(1) as clients:
            answer = clients.submit(server.predict, CAT)
            until(lambda: server.health()["in_flight"] == 1)
            server.process.send_signal(signal.SIGTERM)
            response = answer.result()
        assert server.process.wait(30) == 0
        assert (response.status_code, response.json()["code"]) == (503, "draining")
        assert response.headers["retry-after"] == "1"
        (line,) = [line for line in server.logged() if line.get("path") == "/predict"]
        assert (line["status"], line["outcome"]) == (503, "draining")
        assert "Traceback" not in server.log.read_text()


def test_the_time_to_drain_is_not_cut_to_whole_seconds() -> None:
    server = DrainingServer(FastAPI(), Settings(drain_timeout_s=0.9))
    assert server.config.timeout_graceful_shutdown == 0.9


def test_on_sigterm_during_the_start_it_ends_at_once(default_bundle: Path, tmp_path: Path) -> None:
    server = RunningServer(default_bundle, tmp_path / "log", workers=2)
    # The workers load their models now.
    until(lambda: len(server.workers()) == 2)
    workers = server.workers()
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(10) == 0
    assert not any(process_name(pid) for pid in workers)
    assert "Traceback" not in server.log.read_text()
    server.client.close()


def test_ctrl_c_ends_it_at_once(small_bundle: Path, tmp_path: Path) -> None:
    with RunningServer(small_bundle, tmp_path / "log", workers=1, drain_delay_s=600) as server:
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(30) == 0


def test_killed_outright_it_leaves_no_worker_behind(small_bundle: Path, tmp_path: Path) -> None:
    with RunningServer(small_bundle, tmp_path / "log", workers=2) as server:
        workers = server.workers()
        server.process.kill()
        until(lambda: not any(process_name(pid) for pid in workers))
