"""Clients of every sort at once, each in a thread, and when they and the server are at rest again.

What the dice say is seeded (CHAOS_SEED), so a run can be had again as far as two cores' timing
allows.
"""

import os
import random
import threading
from collections.abc import Callable, Sequence
from functools import partial

from clients import CROWD, Client, Deed, again_and_again
from faults import Prober, children, strike_now_and_then
from running import RunningServer
from tally import Tally

SEED = int(os.environ.get("CHAOS_SEED", "7"))
JOIN_S = 90


def client(server: RunningServer, number: int, tally: Tally, over: threading.Event) -> Client:
    rng = random.Random(f"{SEED}/{number}")  # noqa: S311  (repeatable)
    return Client(server.port, rng, tally, over)


def start(*works: Callable[[], None]) -> list[threading.Thread]:
    threads = [threading.Thread(target=work, daemon=True) for work in works]
    for thread in threads:
        thread.start()
    return threads


def join(threads: Sequence[threading.Thread]) -> None:
    """Every caller who stayed got something by now: nobody is forgotten inside."""
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
    """Let all clients loose, and the faults; return the seconds of the slowest health probe."""
    over = threading.Event()
    prober = Prober(server.port, tally, over)
    rng = random.Random(SEED)  # noqa: S311
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
    """Two workers serve, nothing is inside, and no process is there that should not be."""
    health = server.health()
    commands = list(children(server.process.pid))
    workers = sum("spawn_main" in command for command in commands)
    trackers = sum("resource_tracker" in command for command in commands)
    return (
        (health["workers_up"], health["in_flight"], workers) == (2, 0, 2)
        and trackers <= 1
        and len(commands) == workers + trackers  # a zombie has no command line
    )
