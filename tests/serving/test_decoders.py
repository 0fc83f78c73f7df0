"""The decoder threads: a cancelled upload is not decoded, and the event loop always goes on."""

import asyncio
import io
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from PIL import Image
from running import RunningServer

from app.bench.measure.processes import usage
from app.images.decoding import decode
from app.images.preprocessing import Preprocessing
from app.model.bundle import load_bundle
from app.serving.decoders import Decoders


def slow_photo() -> bytes:
    """Return a small PNG file of 16 megapixels with alpha; its decoding takes part of a second."""
    file = io.BytesIO()
    Image.new("RGBA", (4000, 4000), (1, 2, 3, 4)).save(file, "PNG")
    return file.getvalue()


SLOW = slow_photo()


@pytest.mark.anyio
async def test_what_was_cancelled_before_its_turn_is_not_decoded(small_bundle: Path) -> None:
    spec = load_bundle(small_bundle).preprocessing
    decoders = Decoders(1, 10**8)
    # CPU time, because a machine that is busy or suspended adds nothing to it.
    started = time.process_time()
    await decoders.submit(SLOW, spec)
    one = time.process_time() - started
    running, *waiting = [decoders.submit(SLOW, spec) for _ in range(20)]
    for future in waiting:
        future.cancel()
    await asyncio.gather(running, decoders.submit(SLOW, spec))
    decoders.stop()
    assert time.process_time() - started < 10 * one


@pytest.mark.anyio
async def test_the_rate_is_that_of_all_threads(small_bundle: Path) -> None:
    spec = load_bundle(small_bundle).preprocessing
    decoders = Decoders(3, 10**8)
    assert decoders.rate.per_s == 0
    started = time.perf_counter()
    await decoders.submit(SLOW, spec)
    decoders.stop()
    assert decoders.rate.per_s >= 3 / (time.perf_counter() - started)


def longest_hold(photo: bytes, spec: Preprocessing) -> float:
    """Return the largest share of a decode's CPU time in which no other thread could run."""
    thread = threading.Thread(target=decode, args=(photo, spec, 10**8))
    thread.start()
    clock, turns = time.pthread_getcpuclockid(thread.ident or 0), [0.0]
    while thread.is_alive():
        # The thread may have ended since the check, and its clock with it.
        with suppress(OSError):
            turns.append(time.clock_gettime(clock))
        thread.join(0.001)
    return max(after - before for before, after in pairwise(turns)) / turns[-1]


@pytest.mark.slow
def test_a_photo_with_alpha_does_not_stop_the_event_loop(small_bundle: Path) -> None:
    """A function that keeps Python's lock once laid alpha on white.

    Because of it, a photo of 50 megapixels stopped the event loop for 0.4 s.
    """
    spec = load_bundle(small_bundle).preprocessing
    assert min(longest_hold(SLOW, spec) for _ in range(3)) < 0.15


@pytest.mark.slow
def test_callers_whose_time_is_over_are_told_so_while_others_are_decoded(
    small_bundle: Path, tmp_path: Path
) -> None:
    settings = {"workers": 1, "decoders": 1, "capacity": 40, "longest_wait_s": 3600}
    with RunningServer(small_bundle, tmp_path / "log", **settings) as server:

        def impatient(_: int) -> tuple[int, float]:
            started = time.perf_counter()
            headers = {"X-Deadline-Ms": "500"}
            answer = server.client.post("/predict", files={"file": SLOW}, headers=headers)
            return answer.status_code, time.perf_counter() - started

        with ThreadPoolExecutor(40) as clients:
            answers = list(clients.map(impatient, range(40)))
        late = [seconds for status, seconds in answers if status != httpx.codes.OK]
        assert {status for status, _ in answers} <= {200, 504}
        assert len(late) > 10
        # The decoder needs more than 5 s for all 40 photos.
        assert max(late) < 5
        assert server.health()["in_flight"] == 0


@pytest.mark.slow
def test_a_large_photos_memory_is_given_back(small_bundle: Path, tmp_path: Path) -> None:
    """Several large photos in the same threads once left all their memory with the server."""
    large = io.BytesIO()
    Image.new("RGBA", (5000, 5000), (1, 2, 3, 4)).save(large, "WEBP", lossless=True, method=0)
    with RunningServer(small_bundle, tmp_path / "log", workers=1, decoders=2) as server:

        def held() -> int:
            used = usage({server.process.pid})
            assert used
            return used.rss_bytes

        before = held()
        with ThreadPoolExecutor(4) as clients:
            answers = list(clients.map(server.predict, [large.getvalue()] * 4))
        assert {answer.status_code for answer in answers} == {200}
        assert held() - before < 50_000_000
