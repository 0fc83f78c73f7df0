"""Chaos for a limited time: `make chaos`, `make chaos SECONDS=15`.

The real server with real weights serves good, bad, slow, impatient and vanishing clients, and
bursts above its capacity. All the time, its workers are killed and stopped.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from crowd import SEED, client, join, run, settled, start
from faults import descriptors, resident_bytes
from running import RunningServer, until
from tally import Tally

from clients import (
    CAPACITY,
    MAX_UPLOAD_BYTES,
    PHOTOS,
    UPLOAD_TIMEOUT_S,
    again_and_again,
    probe_until_refused,
    regular,
    until_refused,
)

SECONDS = float(os.environ.get("CHAOS_SECONDS", "60"))
SETTINGS = {
    "workers": 2,
    "max_batch_size": None,
    "longest_wait_s": None,
    "capacity": CAPACITY,
    "max_upload_bytes": MAX_UPLOAD_BYTES,
    "upload_timeout_s": UPLOAD_TIMEOUT_S,
    "batch_timeout_s": 2,
    "recycle_after_batches": 100,
    "canary_interval_s": 1,
    "drain_delay_s": 600,
}
# The server keeps a lost worker's blocks of shared memory (two descriptors each) for the next
# worker. It holds a few more blocks if more workers were replaced at once. A leak would be four
# descriptors per lost worker.
SPARE_DESCRIPTORS = 8
# Python and glibc keep freed memory for the next upload. Its amount depends on the threads that
# decoded last and on their photos: two runs of the same load differ by some 20 MB. A leak of one
# megabyte per upload or per frame, a few thousand times, would be gigabytes.
SPARE_BYTES = 60_000_000
WARM_UP_S = 5


@pytest.fixture(scope="module")
def server(
    default_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    log = tmp_path_factory.mktemp("chaos") / "log"
    with RunningServer(default_bundle, log, **SETTINGS) as server:
        yield server


def report(server: RunningServer, tally: Tally, slowest_s: float, grown_bytes: int) -> None:
    shown = ("classifier_worker_restarts_total", "classifier_event_loop_lag_seconds_")
    metrics = server.client.get("/metrics").text.splitlines()
    print(f"\nchaos, {SECONDS:g} s, seed {SEED}", tally.table(), sep="\n")
    print(*(f"  {line}" for line in metrics if line.startswith(shown)), sep="\n")
    print(f"  slowest health probe {slowest_s * 1000:.0f} ms; RSS {grown_bytes / 1e6:+.1f} MB")


def test_in_chaos_nobody_is_lost_and_nothing_leaks(server: RunningServer) -> None:
    pid = server.process.pid
    warm = Tally()
    run(server, warm, WARM_UP_S)
    assert not warm.wrong
    until(lambda: settled(server))
    descriptors_before, bytes_before = descriptors(pid), resident_bytes(pid)

    tally = Tally()
    slowest_s = run(server, tally, SECONDS, faults=True)
    until(lambda: settled(server))
    grown = resident_bytes(pid) - bytes_before
    report(server, tally, slowest_s, grown)

    assert not tally.wrong
    assert tally.events["workers killed"] + tally.events["workers stopped"] > 0
    assert tally.events["decoders killed"] + tally.events["decoders stopped"] > 0
    data, label = PHOTOS["chelsea.png"]
    answer = server.predict(data)
    assert answer.json()["predictions"][0]["label"] == label
    until(lambda: descriptors(pid) <= descriptors_before + SPARE_DESCRIPTORS)
    assert grown < SPARE_BYTES
    assert "Traceback" not in server.log.read_text()


def test_killed_workers_are_soon_replaced_under_load(server: RunningServer) -> None:
    tally = Tally()
    over = threading.Event()
    clients = [client(server, number, tally, over) for number in range(8)]
    threads = start(*(partial(again_and_again, regular, one) for one in clients))
    until(lambda: tally.answers.total() > 50)
    killed = server.workers()
    started = time.monotonic()
    server.kill_workers()
    until(server.ready)
    ready_s = time.monotonic() - started
    until(lambda: server.health()["workers_up"] == len(killed))
    all_s = time.monotonic() - started
    over.set()
    join(threads)
    print(f"\nkill -9 of all workers: ready after {ready_s:.1f} s, all after {all_s:.1f} s")
    print(tally.table())
    assert not tally.wrong
    until(lambda: settled(server))


def test_on_sigterm_under_load_no_request_is_lost(server: RunningServer) -> None:
    tally = Tally()
    over = threading.Event()
    clients = [client(server, number, tally, over) for number in range(8)]
    photos = [partial(until_refused, one, number % 2 == 0) for number, one in enumerate(clients)]
    threads = start(*photos, *(partial(probe_until_refused, one) for one in clients[:4]))
    right = ("in the drain", 200, "ok")
    until(lambda: tally.answers[right] > 50)
    server.process.send_signal(signal.SIGTERM)
    until(lambda: server.status("/health/ready") == 503)
    before = tally.answers[right]
    until(lambda: tally.answers[right] > before + 50)
    # The second signal closes the port.
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(60) == 0
    join(threads)
    print("\nSIGTERM under load", tally.table(), sep="\n")
    assert not tally.wrong
    assert "Traceback" not in server.log.read_text()
