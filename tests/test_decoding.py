"""Decoding beside the event loop: who waits for it in vain is let go, and costs nothing more."""

import asyncio
import io
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from PIL import Image
from running import RunningServer

from app.bundle import load_bundle
from app.decoding import Decoders


def slow_photo() -> bytes:
    """Draw a small file of 16 megapixels with alpha, which takes part of a second to decode."""
    file = io.BytesIO()
    Image.new("RGBA", (4000, 4000), (1, 2, 3, 4)).save(file, "PNG")
    return file.getvalue()


SLOW = slow_photo()


@pytest.mark.anyio
async def test_what_was_cancelled_before_its_turn_is_not_decoded(small_bundle: Path) -> None:
    spec = load_bundle(small_bundle).preprocessing
    decoders = Decoders(1, 10**8)
    started = time.process_time()  # a machine that is busy or stands still adds nothing to it
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
        assert max(late) < 5  # to decode them all takes longer
        assert server.health()["in_flight"] == 0
