"""Clients of every kind at once, each in a thread, and the check that the server is idle again.

The random numbers are seeded (CHAOS_SEED). A run can therefore be repeated, as far as the timing of
two cores allows.
"""

import os
import random
import threading
from collections.abc import Callable, Sequence
from functools import partial

from faults import Prober, children, strike_now_and_then
from running import RunningServer
from tally import Tally

from clients import CROWD, Client, Deed, again_and_again

SEED = int(os.environ.get("CHAOS_SEED", "7"))
JOIN_S = 90


def client(server: RunningServer, number: int, tally: Tally, over: threading.Event) -> Client:
    rng = random.Random(f"{SEED}/{number}")  # noqa: S311  (the numbers must be repeatable, not secret)
    return Client(server.port, rng, tally, over)


def start(*works: Callable[[], None]) -> list[threading.Thread]:
    threads = [threading.Thread(target=work, daemon=True) for work in works]
    for thread in threads:
        thread.start()
    return threads


def join(threads: Sequence[threading.Thread]) -> None:
    """Wait until all threads have ended. The server answers every client that waits for it."""
    for thread in threads:
        thread.join(JOIN_S)
    assert not any(thread.is_alive() for thread in threads)


def run(
    server: RunningServer,
    tally: Tally,
    seconds: float,
    faults: bool = False,
    deeds: Sequence[Deed] = CROWD,
) -> float:
    """Run all clients, and faults if wanted; return the seconds of the slowest health probe."""
    over = threading.Event()
    prober = Prober(server.port, tally, over)
    rng = random.Random(SEED)  # noqa: S311  (the numbers must be repeatable, not secret)
    crowd = [
        partial(again_and_again, deed, client(server, number, tally, over))
        for number, deed in enumerate(deeds)
    ]
    if faults:
        crowd.append(partial(strike_now_and_then, server, rng, tally, over))
    threads = start(prober.run, *crowd)
    over.wait(seconds)
    over.set()
    join(threads)
    return prober.slowest_s


def settled(server: RunningServer) -> bool:
    """Tell whether two workers serve, no photo is in flight, and no other child process is left."""
    health = server.health()
    commands = list(children(server.process.pid))
    workers = len(server.workers())
    # Decoders and the zygote are forks of the forkserver, and workers are forks of the zygote.
    trackers = sum("resource_tracker" in command for command in commands)
    forkservers = sum("forkserver" in command for command in commands)
    return (
        (health["workers_up"], health["in_flight"], workers) == (2, 0, 2)
        and trackers <= 1
        and forkservers <= 1
        # A zombie is one of the commands, but its command line is empty.
        and len(commands) == trackers + forkservers
    )
