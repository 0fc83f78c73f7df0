"""A few minutes of an ordinary day: a load that swells, a burst, a lost worker and a reload."""

import io
import itertools
import math
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import skimage
from PIL import Image
from running import RunningServer

KEYS = ("the-key-of-the-shop-0123456789", "the-key-of-the-app-0123456789")
_DATA = Path(skimage.__file__).parent / "data"
_NAMES = ("chelsea.png", "coffee.png", "rocket.jpg", "astronaut.png", "motorcycle_left.png")
_FORMATS = ("JPEG", "JPEG", "JPEG", "PNG", "WEBP")
_UNREADABLE = b"no photo"
_PATHS = ("/predict", "/predict", "/predict", "/huggingface")


def photos(count: int, seed: int = 0) -> list[bytes]:
    """Return photos of several sizes and formats, cut out of a few real ones."""
    chance = random.Random(seed)  # noqa: S311  (no secret)
    whole = [Image.open(path).convert("RGB") for n in _NAMES if (path := _DATA / n).is_file()]
    return [_cut(chance, chance.choice(whole), chance.choice(_FORMATS)) for _ in range(count)]


def _cut(chance: random.Random, photo: Image.Image, form: str) -> bytes:
    share, scale = chance.uniform(0.6, 1), math.exp(chance.uniform(-0.7, 1.2))
    width, height = (int(side * share) for side in photo.size)
    x, y = (chance.randint(0, a - b) for a, b in zip(photo.size, (width, height), strict=True))
    part = photo.crop((x, y, x + width, y + height))
    file = io.BytesIO()
    part.resize((int(width * scale), int(height * scale))).save(file, form)
    return file.getvalue()


@dataclass(frozen=True)
class Event:
    """Something that happens once, at this share of the time."""

    at: float
    deed: Callable[[RunningServer], None]


def burst(server: RunningServer) -> None:
    """Send far more photos at once than the service can take in."""
    photo = photos(1)[0]
    with ThreadPoolExecutor(150) as pool:
        list(pool.map(lambda _: _send(server, photo, "/predict", KEYS[1]), range(150)))


def lose_a_worker(server: RunningServer) -> None:
    """Kill a worker, as the kernel does when memory is short."""
    os.kill(server.workers()[0], signal.SIGKILL)


def reload(server: RunningServer) -> None:
    """Reload the model."""
    server.process.send_signal(signal.SIGHUP)


EVENTS = (Event(0.35, lose_a_worker), Event(0.55, burst), Event(0.75, reload))


def ordinary_day(server: RunningServer, seconds: float, most_per_s: float) -> None:
    """Send photos for so long; their number per second swells twice up to `most_per_s`."""
    sending = photos(60)
    began = time.monotonic()
    threads = [threading.Timer(event.at * seconds, event.deed, args=(server,)) for event in EVENTS]
    for thread in threads:
        thread.start()
    with ThreadPoolExecutor(64) as pool:
        for turn in _turns(began, seconds, most_per_s):
            photo = _UNREADABLE if turn % 60 == 0 else sending[turn * 7 % len(sending)]
            key = KEYS[turn % 5 == 0]
            pool.submit(_send, server, photo, _PATHS[turn % len(_PATHS)], key)
    for thread in threads:
        thread.join()


def _turns(began: float, seconds: float, most_per_s: float) -> Iterator[int]:
    for turn in itertools.count():
        now = time.monotonic() - began
        if now > seconds:
            return
        yield turn
        share = 0.2 + 0.8 * math.sin(2 * math.pi * now / seconds) ** 2
        time.sleep(1 / (most_per_s * share))


def _send(server: RunningServer, photo: bytes, path: str, key: str) -> None:
    headers = {"Authorization": f"Bearer {key}"}
    httpx.post(f"{server.url}{path}", content=photo, headers=headers, timeout=60)
