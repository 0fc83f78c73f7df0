"""Overload of a real server that has few permits: which clients it refuses, and with which code."""

import os
import signal
import socket
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
import skimage
from running import RunningServer, until

CAPACITY = 4
CAT = (Path(skimage.__file__).parent / "data" / "chelsea.png").read_bytes()


@pytest.fixture(scope="module")
def server(small_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    log = tmp_path_factory.mktemp("overload") / "log"
    settings = {"capacity": CAPACITY, "workers": 1, "max_batch_size": 2, "batch_timeout_s": 60}
    settings |= {"longest_wait_s": 1, "deadline_s": 60}
    with RunningServer(small_bundle, log, **settings) as server:
        yield server


def outcome(answer: httpx.Response) -> tuple[int, str]:
    """Return the status of an answer, and the code of a refusal or "ok"."""
    return answer.status_code, answer.json().get("code", "ok")


def test_a_burst_above_capacity_gets_answers_and_refusals_only(server: RunningServer) -> None:
    (worker,) = server.workers()
    # The worker stops, so that the others wait at the door until their time is over.
    os.kill(worker, signal.SIGSTOP)
    with ThreadPoolExecutor(40) as clients:
        futures = [clients.submit(server.predict, CAT) for _ in range(40)]
        until(lambda: sum(future.done() for future in futures) == 40 - CAPACITY)
        assert server.status("/health/live") == server.status("/health/ready") == 200
        os.kill(worker, signal.SIGCONT)
        answers = [future.result() for future in futures]
    assert Counter(map(outcome, answers)) == {
        (200, "ok"): CAPACITY,
        (429, "overloaded"): 40 - CAPACITY,
    }
    for answer in answers:
        assert answer.status_code == 200 or int(answer.headers["retry-after"]) >= 1


def test_more_clients_than_places_are_all_served_in_the_end(server: RunningServer) -> None:
    def insist(_: int) -> list[tuple[int, str]]:
        answers: list[tuple[int, str]] = []
        while (200, "ok") not in answers:
            answers.append(outcome(server.predict(CAT)))
        return answers

    with ThreadPoolExecutor(16) as clients:
        answers = [answer for each in clients.map(insist, range(32)) for answer in each]
    assert set(answers) <= {(200, "ok"), (429, "overloaded")}
    assert server.health()["in_flight"] == 0


def test_with_every_worker_stopped_callers_get_504_in_time(server: RunningServer) -> None:
    (worker,) = server.workers()
    os.kill(worker, signal.SIGSTOP)

    def wait_a_second(_: int) -> httpx.Response:
        headers = {"X-Deadline-Ms": "1000"}
        return server.client.post("/predict", files={"file": ("photo", CAT)}, headers=headers)

    with ThreadPoolExecutor(CAPACITY) as clients:
        answers = list(clients.map(wait_a_second, range(CAPACITY)))
    os.kill(worker, signal.SIGCONT)
    assert Counter(map(outcome, answers)) == {(504, "deadline_exceeded"): CAPACITY}
    assert server.health()["in_flight"] == 0
    until(lambda: server.predict(CAT).status_code == 200)
    assert server.workers() == [worker]


def test_slow_uploads_keep_nobody_out(server: RunningServer) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: test\r\nContent-Length: 9000000\r\n"
    head += b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
    with ExitStack() as stack:
        slow = [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            for _ in range(100)
        ]
        for connection in slow:
            connection.sendall(head + b"-")
        # They had their turns, and have lost them.
        until(lambda: server.health()["waiting"] == 0)
        for _ in range(20):
            assert server.predict(CAT).status_code == 200
            for connection in slow:
                connection.sendall(b"-")
    until(lambda: server.health()["in_flight_bytes"] == 0)


def test_a_full_disk_for_logs_does_not_stop_it(small_bundle: Path) -> None:
    server = RunningServer(small_bundle, Path("/dev/full"), workers=1, drain_delay_s=0)
    with ExitStack() as stack:
        # `push` does not enter the server: if the start failed, entering it would read /dev/full,
        # which never ends.
        stack.push(server)
        until(server.ready)
        # The log of 100 requests is longer than any buffer in front of the disk.
        for _ in range(100):
            assert server.predict(CAT).status_code == 200
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(30) == 0
