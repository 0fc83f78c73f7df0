"""What decoding and the network cost alone: CPU milliseconds a photo, of all threads together."""

import multiprocessing
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import cycle, islice

from PIL.Image import Resampling

from app.batching import Pixels, Worker
from app.bench.photos import Photo
from app.bench.processes import usage
from app.bundle import Bundle
from app.errors import ServiceError, StartupError
from app.images import decode, picture
from app.metrics import Metrics
from app.pool import EnginePool
from app.settings import Settings

BATCH_SIZES = (1, 2, 4, 8)
_SECONDS = 1.5  # of each measurement; the kernel counts CPU in steps of 10 ms


@asynccontextmanager
async def idle_worker(bundle: Bundle, settings: Settings) -> AsyncIterator[Worker]:
    """Start one worker, the very kind that serves, that has nothing to do.

    Raises:
        StartupError: it cannot load the model.
    """
    one = settings.model_copy(update={"workers": 1, "max_batch_size": max(BATCH_SIZES)})
    async with EnginePool(bundle, one, Metrics()) as pool:
        worker = pool.take()
        assert worker is not None  # noqa: S101  (a pool that has started has its one worker)
        yield worker


async def engine_ms(worker: Worker, pixels: Sequence[Pixels]) -> dict[int, float]:
    """Return CPU milliseconds an image by batch size.

    Raises:
        StartupError: the worker fails.
    """
    try:
        return {size: await _batches_ms(worker, pixels, size) for size in BATCH_SIZES}
    except ServiceError as error:
        raise StartupError(f"the engine alone: {error}") from error


def decode_ms(photos: Sequence[Photo], bundle: Bundle, settings: Settings) -> float:
    """Return CPU milliseconds a photo."""
    spec, most = bundle.preprocessing, settings.max_pixels
    return _each_ms(photos, lambda data: decode(data, spec, most))


def plain_decode_ms(photos: Sequence[Photo], bundle: Bundle, settings: Settings) -> float:
    """Return CPU milliseconds a photo where it is decoded whole, and only then made smaller."""
    size, most = bundle.preprocessing.crop, settings.max_pixels
    return _each_ms(photos, lambda data: picture(data, most).resize(size, Resampling.BILINEAR))


def _each_ms(photos: Sequence[Photo], do: Callable[[bytes], object]) -> float:
    """Do it for some time, with each photo as often as with the others."""
    count = 0
    end = time.perf_counter() + _SECONDS
    before = time.process_time()
    while time.perf_counter() < end:
        for photo in photos:
            do(photo.data)
        count += len(photos)
    return 1000 * (time.process_time() - before) / count


async def _batches_ms(worker: Worker, pixels: Sequence[Pixels], size: int) -> float:
    photos = cycle(pixels)
    await worker.infer(list(islice(photos, size)))
    count = 0
    end = time.perf_counter() + _SECONDS
    before = _children_cpu_s()
    while time.perf_counter() < end:
        await worker.infer(list(islice(photos, size)))
        count += size
    return 1000 * (_children_cpu_s() - before) / count


def _children_cpu_s() -> float:
    """Return the CPU of this process's workers; there is just one."""
    used = usage(child.pid for child in multiprocessing.active_children() if child.pid)
    return used.cpu_s if used else 0.0
