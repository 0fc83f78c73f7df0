"""The zygote: workers are its forks, it ends with the server, and another one takes its place."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from running import RunningServer, process_name, until

PHOTO = Path(__file__).parents[2] / "docs" / "cat.jpg"


@pytest.fixture
def server(default_bundle: Path, tmp_path: Path) -> Iterator[RunningServer]:
    with RunningServer(default_bundle, tmp_path / "log", workers=2) as running:
        yield running


def private_bytes(pid: int) -> int:
    """Return the memory that no other process shares with this one."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))


def test_workers_share_what_the_zygote_has_loaded(server: RunningServer) -> None:
    """The zygote has one thread, because others would be missing in its forks."""
    zygote = server.zygote()
    assert len(list(Path(f"/proc/{zygote}/task").iterdir())) == 1
    for worker in server.workers():
        assert f"PPid:\t{zygote}\n" in Path(f"/proc/{worker}/status").read_text()
        resident = int(Path(f"/proc/{worker}/statm").read_text().split()[1]) * 4096
        assert resident - private_bytes(worker) > 50e6


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_to_the_group_end_neither_zygote_nor_workers(
    server: RunningServer, number: signal.Signals
) -> None:
    processes = [server.zygote(), *server.workers()]
    for pid in processes:
        os.kill(pid, number)
    assert server.predict(PHOTO.read_bytes()).status_code == httpx.codes.OK
    assert [server.zygote(), *server.workers()] == processes


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_workers_serve_without_their_zygote_and_the_next_one_has_another(
    server: RunningServer, number: signal.Signals
) -> None:
    zygote, (one, other) = server.zygote(), server.workers()
    os.kill(zygote, number)
    until(lambda: not process_name(zygote))
    assert server.predict(PHOTO.read_bytes()).status_code == httpx.codes.OK
    os.kill(one, signal.SIGKILL)
    until(lambda: server.health()["workers_up"] == 2 and not process_name(one))
    assert server.zygote() != zygote
    assert server.predict(PHOTO.read_bytes()).status_code == httpx.codes.OK
    assert process_name(other) == "worker"


def test_nothing_is_left_of_a_killed_server(server: RunningServer) -> None:
    processes = [server.zygote(), *server.workers(), *server.decoders()]
    server.process.kill()
    until(lambda: not any(map(process_name, processes)))


def test_a_worker_that_finds_its_server_gone_ends_in_silence(server: RunningServer) -> None:
    workers = server.workers()
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)
    with ThreadPoolExecutor() as threads:
        for _ in range(8):
            threads.submit(server.predict, PHOTO.read_bytes())
        # A photo waits only if each worker has a batch already.
        until(lambda: "classifier_queued_photos 0.0" not in server.client.get("/metrics").text)
        server.process.kill()
    before = server.log.read_text()
    for worker in workers:
        os.kill(worker, signal.SIGCONT)
    until(lambda: not any(map(process_name, workers)))
    assert server.log.read_text() == before


def test_after_sigterm_all_processes_have_ended(server: RunningServer) -> None:
    processes = [server.zygote(), *server.workers(), *server.decoders()]
    server.process.terminate()
    assert server.process.wait(30) == 0
    until(lambda: not any(map(process_name, processes)))
