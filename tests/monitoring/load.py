"""A load with everything that an operator does not like to see, and good photos in between."""

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx
import skimage
from running import RunningServer

_DATA = Path(skimage.__file__).parent / "data"
PHOTOS = [(_DATA / name).read_bytes() for name in ("chelsea.png", "coffee.png", "rocket.jpg")]
KEY, GREEDY = "a-key-of-the-load-0123456789", "the-key-of-the-bursts-0123456789"
UNREADABLE = [b"no photo", PHOTOS[0][:5000], b"", b"x" * 2_000_000]


def provoke(server: RunningServer, seconds: float, capacity: int) -> None:
    """Send good and bad photos, sometimes more than the capacity, and kill workers."""
    over = threading.Event()
    deeds: Sequence[Callable[[int], object]] = (
        *[lambda turn: _send(server, PHOTOS[turn % len(PHOTOS)])] * 2,
        lambda turn: _send(server, UNREADABLE[turn % len(UNREADABLE)]),
        lambda _: _burst(server, 3 * capacity),
        lambda _: _kill(server),
    )
    threads = [threading.Thread(target=_again, args=(deed, over)) for deed in deeds]
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    over.set()
    for thread in threads:
        thread.join()


def _again(deed: Callable[[int], object], over: threading.Event) -> None:
    turn = 0
    while not over.wait(0.1):
        deed(turn)
        turn += 1


def _send(server: RunningServer, data: bytes, key: str = KEY) -> int:
    files = {"file": ("photo", data)}
    headers = {"Authorization": f"Bearer {key}"}
    url = f"{server.url}/predict"
    return httpx.post(url, files=files, headers=headers, timeout=60).status_code


def _burst(server: RunningServer, photos: int) -> None:
    burst = (server, PHOTOS[0], GREEDY)
    threads = [threading.Thread(target=_send, args=burst) for _ in range(photos)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    time.sleep(2)


def _kill(server: RunningServer) -> None:
    """Kill all workers if all of them serve, even with batches in progress."""
    health = server.health()
    if health["workers_up"] == health["workers"]:
        for pid in server.workers():
            os.kill(pid, signal.SIGKILL)
    time.sleep(1)
