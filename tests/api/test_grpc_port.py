"""gRPC's port under overload and slow clients, at the start and at the shutdown."""

import os
import signal
import socket
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from calling import Caller, caller_of, ended, grpc_settings, stalled_upload
from grpc_health.v1 import health_pb2, health_pb2_grpc
from posting import png
from running import RunningServer, start_error, until

CAPACITY = 4
SETTINGS = grpc_settings(
    capacity=CAPACITY,
    max_batch_size=2,
    batch_timeout_s=60,
    longest_wait_s=1,
    deadline_s=60,
    max_upload_bytes=1_000_000,
    capacity_bytes=6_000_000,
)
PORT = int(str(SETTINGS["grpc_port"]))
SERVING = health_pb2.HealthCheckResponse


@pytest.fixture(scope="module")
def server(small_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    log = tmp_path_factory.mktemp("port") / "log"
    with RunningServer(small_bundle, log, **SETTINGS) as server:
        yield server
        assert "Traceback" not in server.log.read_text()


@pytest.fixture
def caller(server: RunningServer) -> Iterator[Caller]:
    with caller_of(server, PORT) as caller:
        yield caller


def memory_of(pid: int) -> int:
    """Return the bytes of memory that a process holds."""
    (line,) = [
        line
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("VmRSS")
    ]
    return int(line.split()[1]) * 1024


def test_a_burst_above_capacity_gets_answers_and_refusals_only(
    server: RunningServer, caller: Caller
) -> None:
    (worker,) = server.workers()
    os.kill(worker, signal.SIGSTOP)
    calls = [caller.start(caller.request(png())) for _ in range(40)]
    until(lambda: sum(call.done() for call in calls) == 40 - CAPACITY)
    health = health_pb2_grpc.HealthStub(caller.channel)
    assert health.Check(health_pb2.HealthCheckRequest(), timeout=10).status == SERVING.SERVING
    os.kill(worker, signal.SIGCONT)
    outcomes = [ended(call) for call in calls]
    assert Counter((each.code, each.outcome) for each in outcomes) == {
        ("OK", "ok"): CAPACITY,
        ("RESOURCE_EXHAUSTED", "overloaded"): 40 - CAPACITY,
    }
    for each in outcomes:
        if each.code != "OK":
            seconds = int(each.trailers["retry-after"])
            assert seconds >= 1
            assert each.trailers["grpc-retry-pushback-ms"] == str(1000 * seconds)
    # The log has one line for all refusals of a second.
    until(lambda: [line for line in server.logged() if line.get("count")])
    counts = [line["count"] for line in server.logged() if line.get("count")]
    assert sum(counts) == 40 - CAPACITY


def test_slow_uploads_keep_nobody_out(server: RunningServer, caller: Caller) -> None:
    with ExitStack() as stack:
        for sent in range(40):
            stack.enter_context(stalled_upload(PORT, 2_900_000, sent))
        # Forty times the time after which a message is slow, divided by two places.
        until(lambda: caller.infer(png()).code == "OK", timeout_s=20)
        for _ in range(20):
            assert caller.infer(png()).code == "OK"
            assert server.predict(png()).status_code == 200
        stalled = [stack.enter_context(stalled_upload(PORT, 2_900_000, sent)) for sent in range(40)]
        assert server.predict(png()).status_code == 200
        health = health_pb2_grpc.HealthStub(caller.channel)
        assert health.Check(health_pb2.HealthCheckRequest(), timeout=10).status == SERVING.SERVING
        assert len(stalled) == 40
    until(lambda: server.health()["in_flight_bytes"] == 0)


def test_messages_that_never_end_take_little_memory(server: RunningServer) -> None:
    """Each of them could become 3 MB, but gRPC takes only the beginnings of those who wait."""
    before = memory_of(server.process.pid)
    with ExitStack() as stack:
        for _ in range(150):
            stack.enter_context(stalled_upload(PORT, 2_900_000, 60_000))
        time.sleep(1)
        grown = memory_of(server.process.pid) - before
        print(f"\n150 messages that stall: {grown / 1e6:+.1f} MB")
        assert grown < 50_000_000
        assert server.predict(png()).status_code == 200


def test_large_messages_are_given_up_with_their_calls(
    server: RunningServer, caller: Caller
) -> None:
    """All of them together have 400 MB. Most are refused when they have come, for want of bytes."""
    request = caller.request(*[png() + bytes(950_000)] * 3)
    caller.send(request)
    before = memory_of(server.process.pid)

    def insist(_: int) -> list[str]:
        with caller_of(server, PORT) as own:
            return [own.send(request).code for _ in range(7)]

    with ThreadPoolExecutor(20) as clients:
        codes = {code for found in clients.map(insist, range(20)) for code in found}
    grown = memory_of(server.process.pid) - before
    print(f"\n140 large messages: {codes}, {grown / 1e6:+.1f} MB")
    assert codes <= {"OK", "RESOURCE_EXHAUSTED", "UNAVAILABLE"}
    assert grown < 200_000_000
    assert server.health()["in_flight_bytes"] == 0


def test_during_the_drain_delay_calls_are_answered_and_health_says_no(
    small_bundle: Path, tmp_path: Path
) -> None:
    settings = grpc_settings(drain_delay_s=600)
    with (
        RunningServer(small_bundle, tmp_path / "log", **settings) as server,
        caller_of(server, settings["grpc_port"]) as caller,
    ):
        health = health_pb2_grpc.HealthStub(caller.channel)
        watch = health.Watch(health_pb2.HealthCheckRequest(), timeout=60)
        assert next(watch).status == SERVING.SERVING
        server.process.send_signal(signal.SIGTERM)
        assert next(watch).status == SERVING.NOT_SERVING
        assert health.Check(health_pb2.HealthCheckRequest()).status == SERVING.NOT_SERVING
        assert caller.infer(png()).code == "OK"
        # The second signal ends the drain delay.
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(30) == 0
        assert list(watch) == []
        assert caller.infer(png(), timeout_s=5).code == "UNAVAILABLE"
        assert "Traceback" not in server.log.read_text()


def test_on_sigterm_what_is_inside_is_answered(small_bundle: Path, tmp_path: Path) -> None:
    settings = grpc_settings(batch_timeout_s=60, deadline_s=60, drain_delay_s=0)
    with (
        RunningServer(small_bundle, tmp_path / "log", **settings) as server,
        caller_of(server, settings["grpc_port"]) as caller,
    ):
        (worker,) = server.workers()
        os.kill(worker, signal.SIGSTOP)
        calls = [caller.start(caller.request(png())) for _ in range(6)]
        until(lambda: server.health()["in_flight"] == 6)
        server.process.send_signal(signal.SIGTERM)
        until(lambda: server.status("/health/live") is None)
        os.kill(worker, signal.SIGCONT)
        assert [ended(call).code for call in calls] == ["OK"] * 6
        assert server.process.wait(30) == 0


def test_what_outlasts_the_drain_timeout_is_told_so(small_bundle: Path, tmp_path: Path) -> None:
    settings = grpc_settings(
        batch_timeout_s=60, deadline_s=60, drain_delay_s=0, drain_timeout_s=0.5
    )
    with (
        RunningServer(small_bundle, tmp_path / "log", **settings) as server,
        caller_of(server, settings["grpc_port"]) as caller,
    ):
        (worker,) = server.workers()
        os.kill(worker, signal.SIGSTOP)
        call = caller.start(caller.request(png()))
        until(lambda: server.health()["in_flight"] == 1)
        server.process.send_signal(signal.SIGTERM)
        outcome = ended(call)
        assert server.process.wait(30) == 0
        assert (outcome.code, outcome.outcome) == ("UNAVAILABLE", "draining")
        assert outcome.trailers["retry-after"] == "1"
        assert "Traceback" not in server.log.read_text()


def grpc_error(bundle: Path, **variables: str) -> str:
    """Run `serve` with gRPC, which cannot start; return its only line on standard error."""
    arguments = ("--port", 0, "--model-dir", bundle)
    return start_error(*arguments, CLASSIFIER_DIALECTS="oip-grpc", **variables)


def test_a_taken_port_is_an_error_before_the_bundle_is_read(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert grpc_error(tmp_path, CLASSIFIER_GRPC_PORT=str(port)) == (
            f"error: port {port} on 127.0.0.1 is taken; choose another one with "
            f"CLASSIFIER_GRPC_PORT={port + 1}"
        )


def test_a_port_that_another_process_opens_meanwhile_is_one_line(
    small_bundle: Path, tmp_path: Path
) -> None:
    with socket.socket() as rival:
        rival.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        rival.bind(("127.0.0.1", 0))
        port = rival.getsockname()[1]
        settings = {**grpc_settings(), "grpc_port": port, "log_format": "json"}
        server = RunningServer(small_bundle, tmp_path / "log", **settings)
        with ExitStack() as stack:
            stack.push(server)
            until(server.workers)
            rival.listen()
            assert server.process.wait(60) == 1
    *_, last = server.log.read_text().splitlines()
    assert last.startswith(f"error: port {port} on 127.0.0.1 is taken")
    assert "Traceback" not in server.log.read_text()


def test_without_the_package_the_dialect_is_an_error_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['grpc'] = None")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    expected = "error: the dialect oip-grpc needs the packages of requirements/grpc.txt: install"
    assert grpc_error(tmp_path).startswith(expected)


@pytest.mark.parametrize("host", ["localhost", "0.0.0.0", ""])  # noqa: S104
def test_it_listens_where_http_does(small_bundle: Path, tmp_path: Path, host: str) -> None:
    settings = grpc_settings(host=host)
    with (
        RunningServer(small_bundle, tmp_path / "log", **settings) as server,
        caller_of(server, settings["grpc_port"]) as caller,
    ):
        assert caller.infer(png()).code == "OK"
