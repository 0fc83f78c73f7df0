"""Faults of the workers, and what can be seen of the server's process from outside."""

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from running import RunningServer
from tally import Tally
from wire import probe

from clients import LOST


def strike(server: RunningServer, rng: random.Random, tally: Tally) -> None:
    """Kill or stop one worker, while another one may be serving, loading or just dead.

    Without a serving worker, nothing happens: if all workers are killed during their start five
    times in a row, the service rightly calls itself hopeless. A worker is stopped only if all of
    them serve, because the service waits two minutes for a worker that loads.
    """
    up = server.health()["workers_up"]
    workers = server.workers()
    if not up or not workers:
        return
    stop = up == len(workers) and rng.random() < 0.5
    try:
        os.kill(rng.choice(workers), signal.SIGSTOP if stop else signal.SIGKILL)
    except ProcessLookupError:
        return
    tally.event("workers stopped" if stop else "workers killed")


def strike_decoder(server: RunningServer, rng: random.Random, tally: Tally) -> None:
    """Kill or stop one decoder. Its photo is decoded by another one, so no client notices."""
    decoders = server.decoders()
    stop = rng.random() < 0.5
    try:
        os.kill(rng.choice(decoders), signal.SIGSTOP if stop else signal.SIGKILL)
    # There is none just now, or it has just ended.
    except (IndexError, ProcessLookupError):
        return
    tally.event("decoders stopped" if stop else "decoders killed")


def strike_now_and_then(
    server: RunningServer, rng: random.Random, tally: Tally, over: threading.Event
) -> None:
    """Strike at random moments until the run ends."""
    while not over.wait(rng.uniform(0.5, 3)):
        strike(server, rng, tally)
        strike_decoder(server, rng, tally)


class Prober:
    """A prober of /health/live, ten times a second on new connections.

    Attributes:
        slowest_s: the time of the slowest answer.
    """

    def __init__(self, port: int, tally: Tally, over: threading.Event) -> None:
        self.slowest_s = 0.0
        self._port, self._tally, self._over = port, tally, over

    def run(self) -> None:
        """Probe until the run ends."""
        while not self._over.wait(0.1):
            started = time.monotonic()
            try:
                status = probe(self._port, "/health/live")
            except LOST as error:
                self._tally.fault(f"/health/live: {error!r}")
                continue
            self.slowest_s = max(self.slowest_s, time.monotonic() - started)
            self._tally.event(f"/health/live {status}")
            if status != 200:
                self._tally.fault(f"/health/live: {status}")


def children(pid: int) -> Iterator[str]:
    """Yield the command line of each child of a process; a zombie's is empty."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            command = (folder / "cmdline").read_bytes().decode()
        # The process has just ended.
        except OSError:
            continue
        if int(parent) == pid:
            yield command


def descriptors(pid: int) -> int:
    """Return the number of file descriptors that a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
