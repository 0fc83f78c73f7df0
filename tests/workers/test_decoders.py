"""The decoder processes, real ones: what they decode, and what a costly upload costs others."""

import asyncio
import io
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
from costly import jpeg
from PIL import Image
from profiles import ADOBE, adobe_curve, rgb_profile
from real_pools import until
from running import RunningServer
from running import until as until_true

from app.bench.measure.processes import usage
from app.errors import BrokenImage, CostlyImage, EmptyFile, ServiceError, TooManyPixels
from app.images import heif
from app.images.decoding import decode
from app.images.formats import FORMATS
from app.images.preprocessing import Preprocessing
from app.model.bundle import load_bundle
from app.settings import Settings
from app.telemetry.metrics import Metrics
from app.workers.decoder import Decoded, cpu_ns, parsed
from app.workers.decoders import DecoderPool
from app.workers.slots import PixelSlots


def encoded(size: tuple[int, int], mode: str, kind: str, **options: object) -> bytes:
    # Pillow writes HEIF only where the library is registered, as any earlier test may have done.
    assert heif.available()
    file = io.BytesIO()
    picture = Image.linear_gradient("L").resize(size).convert(mode)
    picture.save(file, kind, **options)
    return file.getvalue()


# A small file whose decoding takes part of a second.
SLOW = encoded((4000, 4000), "RGBA", "PNG")
QUICK = encoded((64, 64), "RGB", "PNG")


@pytest.fixture(scope="module")
def spec(small_bundle: Path) -> Preprocessing:
    return load_bundle(small_bundle).preprocessing


@asynccontextmanager
async def decoders_of(
    spec: Preprocessing, metrics: Metrics | None = None, **settings: float
) -> AsyncIterator[DecoderPool]:
    """Start decoders; check at the end that no process and no used slot is left."""
    slots = PixelSlots(8, spec.crop)
    options = Settings.model_validate({"decoders": 1, **settings})
    async with DecoderPool(spec, slots, options, metrics or Metrics()) as pool:
        yield pool
        pids = pool.pids
    assert len(slots.free) == 8
    assert not [pid for pid in pids if about(pid, "statm")]


def submit(pool: DecoderPool, data: bytes) -> asyncio.Future[Decoded]:
    """Submit an upload; from then on only the pool needs its slot."""
    slot = pool.slots.take()
    assert slot
    future = pool.submit(data, slot)
    slot.release()
    return future


def about(pid: int, name: str) -> str:
    """Return what the kernel says of a process; nothing once it has ended."""
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError:
        return ""


def restarts(metrics: Metrics, reason: str) -> float | None:
    return metrics.registry.get_sample_value(
        "classifier_decoder_restarts_total", {"reason": reason}
    )


async def busy(pool: DecoderPool) -> int:
    """Wait until a decoder works on an upload, and return its process id."""
    (pid,) = pool.pids
    before = cpu_s(pid)
    await until(lambda: cpu_s(pid) > before)
    return pid


async def replaced(pool: DecoderPool) -> None:
    """Kill the only decoder, and wait until another one is there."""
    (pid,) = pool.pids
    os.kill(pid, signal.SIGKILL)
    await until(lambda: pool.up and pid not in pool.pids)


def cpu_s(pid: int) -> float:
    used = usage({pid})
    assert used
    return used.cpu_s


@pytest.mark.anyio
@pytest.mark.parametrize("kind", FORMATS)
async def test_pixels_and_size_are_those_of_the_decoding_function(
    spec: Preprocessing, kind: str
) -> None:
    upload = encoded((300, 200), "RGB", kind)
    async with decoders_of(spec) as pool:
        slot = pool.slots.take()
        assert slot
        decoded = await pool.submit(upload, slot)
        photo = decode(upload, spec, 10**8)
        assert (decoded.width, decoded.height, decoded.format) == (300, 200, kind)
        np.testing.assert_array_equal(slot.pixels, photo.pixels)
        slot.release()


@pytest.mark.anyio
async def test_a_colour_profile_is_applied_in_the_sandbox_too(spec: Preprocessing) -> None:
    upload = encoded((300, 200), "RGB", "JPEG", icc_profile=rgb_profile(ADOBE, adobe_curve))
    in_srgb = replace(spec, srgb=True)
    async with decoders_of(in_srgb) as pool:
        slot = pool.slots.take()
        assert slot
        await pool.submit(upload, slot)
        np.testing.assert_array_equal(slot.pixels, decode(upload, in_srgb, 10**8).pixels)
        assert (slot.pixels != decode(upload, spec, 10**8).pixels).any()
        slot.release()


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
async def test_the_time_of_all_threads_counts(spec: Preprocessing, kind: str) -> None:
    upload = encoded((1500, 1500), "RGB", kind)
    async with decoders_of(spec, decode_timeout_s=0.01) as pool:
        with pytest.raises(CostlyImage, match="took too long"):
            await submit(pool, upload)
    async with decoders_of(spec) as pool:
        assert (await submit(pool, upload)).width == 1500


def test_a_process_whose_other_thread_works_does_not_hang() -> None:
    """libheif decodes in a thread, for which the main thread waits."""
    program = "import threading; threading.Thread(target=lambda: [0 for _ in iter(int, 1)]).start()"
    with subprocess.Popen([sys.executable, "-c", program]) as process:
        until_true(lambda: len(os.listdir(f"/proc/{process.pid}/task")) == 2)  # noqa: PTH208
        before = cpu_ns(process.pid)
        until_true(lambda: cpu_ns(process.pid) != before)
        main = about(process.pid, "schedstat")
        before = cpu_ns(process.pid)
        until_true(lambda: cpu_ns(process.pid) != before)
        assert about(process.pid, "schedstat") == main
        process.kill()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("upload", "error"),
    [
        (b"", EmptyFile),
        (QUICK[:60], BrokenImage),
        (encoded((200, 200), "RGB", "PNG"), TooManyPixels),
    ],
)
async def test_an_error_comes_back_with_its_text(
    spec: Preprocessing, upload: bytes, error: type[ServiceError]
) -> None:
    with pytest.raises(error) as expected:
        decode(upload, spec, 10_000)
    async with decoders_of(spec, max_pixels=10_000) as pool:
        with pytest.raises(error) as got:
            await submit(pool, upload)
        assert str(got.value) == str(expected.value)
        assert await submit(pool, QUICK)


@pytest.mark.anyio
async def test_an_upload_that_takes_too_long_ends_its_decoder_and_harms_no_other(
    spec: Preprocessing,
) -> None:
    metrics = Metrics()
    async with decoders_of(spec, metrics, decode_timeout_s=0.05) as pool:
        costly, other = submit(pool, SLOW), submit(pool, QUICK)
        with pytest.raises(CostlyImage, match="took too long"):
            await costly
        assert await other
    assert restarts(metrics, "time") == 1


@pytest.mark.anyio
async def test_an_upload_that_needs_too_much_memory_ends_its_decoder(spec: Preprocessing) -> None:
    metrics = Metrics()
    async with decoders_of(spec, metrics) as pool:
        (pid,) = pool.pids
        mapped = int(about(pid, "statm").split()[0]) * resource.getpagesize()
        resource.prlimit(pid, resource.RLIMIT_AS, (mapped + 2**24, mapped + 2**24))
        with pytest.raises(CostlyImage, match="too much memory"):
            await submit(pool, SLOW)
        assert await submit(pool, SLOW)
    assert restarts(metrics, "memory") == 1


@pytest.mark.anyio
async def test_an_upload_that_crashes_its_decoder_is_refused(spec: Preprocessing) -> None:
    metrics = Metrics()
    async with decoders_of(spec, metrics) as pool:
        crashing, other = submit(pool, SLOW), submit(pool, QUICK)
        os.kill(await busy(pool), signal.SIGSEGV)
        with pytest.raises(CostlyImage, match="crashed"):
            await crashing
        assert await other
    assert restarts(metrics, "crash") == 1


@pytest.mark.anyio
async def test_an_upload_whose_decoder_is_killed_from_outside_is_decoded_by_another(
    spec: Preprocessing,
) -> None:
    async with decoders_of(spec) as pool:
        upload = submit(pool, SLOW)
        os.kill(await busy(pool), signal.SIGKILL)
        assert (await upload).width == 4000


@pytest.mark.anyio
async def test_a_stopped_decoder_is_replaced_and_its_upload_decoded(spec: Preprocessing) -> None:
    metrics = Metrics()
    async with decoders_of(spec, metrics) as pool:
        (pid,) = pool.pids
        os.kill(pid, signal.SIGSTOP)
        assert await submit(pool, QUICK)
    assert restarts(metrics, "hang") == 1


@pytest.mark.anyio
async def test_uploads_whose_decoders_get_no_cpu_are_decoded_though_others_wait(
    spec: Preprocessing,
) -> None:
    metrics = Metrics()
    async with decoders_of(spec, metrics) as pool:
        (first,) = pool.pids
        os.kill(first, signal.SIGSTOP)
        uploads = [submit(pool, QUICK)]
        # The first decoder is found slow, and a second one starts.
        await until(lambda: pool.up == 2)
        (second,) = set(pool.pids) - {first}
        os.kill(second, signal.SIGSTOP)
        uploads += [submit(pool, QUICK) for _ in range(2)]
        assert await asyncio.gather(*uploads)
    assert restarts(metrics, "starved")


@pytest.mark.anyio
async def test_a_decoder_that_is_lost_while_another_one_starts_is_replaced(
    spec: Preprocessing,
) -> None:
    pool = DecoderPool(spec, PixelSlots(8, spec.crop), Settings(decoders=2), Metrics())
    start = asyncio.create_task(pool.__aenter__())
    try:
        await until(lambda: len(pool.pids) == 2)
        first, second = sorted(pool._decoders, key=lambda decoder: decoder.process.pid)
        os.kill(second.process.pid, signal.SIGSTOP)
        await until(first.ready.done)
        os.kill(first.process.pid, signal.SIGKILL)
        await until(lambda: first.process.lost)
        os.kill(second.process.pid, signal.SIGCONT)
        await start
        assert first not in pool._idle
        await until(lambda: pool.up == 2)
        assert await asyncio.gather(*(submit(pool, QUICK) for _ in range(4)))
    finally:
        await pool.__aexit__()


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.anyio
async def test_a_stopped_forkserver_does_not_stop_the_event_loop(spec: Preprocessing) -> None:
    async with decoders_of(spec) as pool:
        (pid,) = pool.pids
        forkserver = parent_of(pid)
        os.kill(forkserver, signal.SIGSTOP)
        # An event loop that stands still cannot end its own test.
        rescue = threading.Timer(20, os.kill, (forkserver, signal.SIGCONT))
        rescue.start()
        os.kill(pid, signal.SIGKILL)
        await until(lambda: pool.pids not in ([], [pid]))
        assert await submit(pool, QUICK)
        assert rescue.is_alive()
        rescue.cancel()


@pytest.mark.anyio
async def test_quick_uploads_do_not_wait_for_a_slow_one(spec: Preprocessing) -> None:
    async with decoders_of(spec, decode_timeout_s=60) as pool:
        slow = submit(pool, encoded((9000, 5000), "RGBA", "PNG"))
        assert await submit(pool, QUICK)
        assert not slow.done()
        assert (await slow).width == 9000
        await until(lambda: len(pool.pids) == 1)


@pytest.mark.anyio
async def test_many_slow_uploads_at_once_do_not_keep_the_others_waiting(
    spec: Preprocessing,
) -> None:
    endless = jpeg.scans_of_a_large_picture()
    async with decoders_of(spec, decode_timeout_s=600) as pool:
        slow = [submit(pool, endless) for _ in range(2)]
        async with asyncio.timeout(120):
            # On a busy machine, the slow ones have got little CPU and get another try.
            while not any(upload.done() for upload in slow):
                assert await submit(pool, QUICK)
        for upload in slow:
            if upload.done():
                with pytest.raises(CostlyImage):
                    await upload
            upload.cancel()


@pytest.mark.anyio
async def test_lost_decoders_leave_no_descriptors(spec: Preprocessing) -> None:
    async with decoders_of(spec) as pool:
        counts = []
        for _ in range(12):
            await replaced(pool)
            assert await submit(pool, QUICK)
            counts.append(len(os.listdir("/proc/self/fd")))  # noqa: PTH208
        assert counts[-1] <= counts[3]


@pytest.mark.anyio
async def test_what_was_cancelled_before_its_turn_is_not_decoded(spec: Preprocessing) -> None:
    async with decoders_of(spec) as pool:
        (pid,) = pool.pids
        started = cpu_s(pid)
        first = submit(pool, QUICK)
        waiting = [submit(pool, SLOW) for _ in range(6)]
        for future in waiting:
            future.cancel()
        await asyncio.gather(first, submit(pool, QUICK))
        assert cpu_s(pid) - started < 0.3


@pytest.mark.anyio
async def test_an_upload_that_nobody_waits_for_any_more_ends(spec: Preprocessing) -> None:
    metrics = Metrics()
    async with decoders_of(spec, metrics, decode_timeout_s=60) as pool:
        gone = submit(pool, encoded((9000, 5000), "RGBA", "PNG"))
        await busy(pool)
        gone.cancel()
        await until(lambda: restarts(metrics, "unwanted") == 1)
        assert await submit(pool, QUICK)


@pytest.mark.anyio
async def test_the_rate_is_that_of_all_decoders(spec: Preprocessing) -> None:
    async with decoders_of(spec, decoders=3) as pool:
        assert pool.rate.per_s == 0
        started = time.perf_counter()
        await submit(pool, SLOW)
        assert pool.rate.per_s >= 3 / (time.perf_counter() - started)


@pytest.mark.anyio
async def test_a_decoder_is_small_and_has_neither_paddle_nor_fastapi(spec: Preprocessing) -> None:
    async with decoders_of(spec, decoders=2) as pool:
        await asyncio.gather(submit(pool, QUICK), submit(pool, QUICK))
        for pid in pool.pids:
            assert "libpaddle" not in about(pid, "maps")
            used = usage({pid})
            assert used
            assert used.rss_bytes < 70_000_000


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"[]",
        b"\x80\x04.",
        b'{"code": "unknown"}',
        b'{"width": 1, "height": 1, "format": "EXE", "seconds": 0}',
        b'{"width": -1, "height": 1, "format": "PNG", "seconds": 0}',
    ],
)
def test_a_reply_of_another_form_is_not_believed(reply: bytes) -> None:
    with pytest.raises(OSError, match="a decoder answers"):
        parsed(reply)


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
    with RunningServer(
        small_bundle, tmp_path / "log", workers=1, decoders=2, deadline_s=60
    ) as server:

        def held() -> int:
            used = usage({server.process.pid})
            assert used
            return used.rss_bytes

        before = held()
        with ThreadPoolExecutor(4) as clients:
            answers = list(clients.map(server.predict, [large.getvalue()] * 4))
        assert {answer.status_code for answer in answers} == {200}
        # A decoder that has worked for long ends after its answer, and another one starts.
        until_true(lambda: held() - before < 50_000_000)
