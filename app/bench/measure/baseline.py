"""What decoding and the network cost alone: CPU milliseconds a photo, of all threads together."""

import asyncio
import multiprocessing
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import cycle, islice

from PIL.Image import Resampling

from app.bench.load.photos import PhotoFile
from app.bench.measure.processes import usage
from app.errors import ServiceError, StartupError
from app.host import granted_cores
from app.images.decoding import decode, decode_full
from app.images.preprocessing import Pixels
from app.model.bundle import Bundle
from app.settings import Settings
from app.telemetry.metrics import Metrics
from app.workers.interfaces import Worker
from app.workers.pool import WorkerPool

BATCH_SIZES = (1, 2, 4, 8)
_SECONDS = 1.5  # of each measurement; the kernel counts CPU in steps of 10 ms


@asynccontextmanager
async def idle_workers(bundle: Bundle, settings: Settings) -> AsyncIterator[list[Worker]]:
    """Start a worker a core, of the very kind that serves, that have nothing to do.

    Raises:
        StartupError: one cannot load the model.
    """
    workers = {"workers": granted_cores(), "max_batch_size": max(BATCH_SIZES)}
    async with WorkerPool(bundle, settings.model_copy(update=workers), Metrics()) as pool:
        yield list(iter(pool.take, None))


async def engine_ms(
    workers: Sequence[Worker], pixels: Sequence[Pixels], sizes: Sequence[int] = BATCH_SIZES
) -> dict[int, float]:
    """Return CPU milliseconds an image by batch size, with all these workers busy at once.

    Raises:
        StartupError: one fails.
    """
    try:
        return {size: await _batches_ms(workers, pixels, size) for size in sizes}
    except ServiceError as error:
        raise StartupError(f"the engine alone: {error}") from error


def decode_ms(photos: Sequence[PhotoFile], bundle: Bundle, settings: Settings) -> float:
    """Return CPU milliseconds a photo."""
    spec, most = bundle.preprocessing, settings.max_pixels
    return _each_ms(photos, lambda data: decode(data, spec, most))


def plain_decode_ms(photos: Sequence[PhotoFile], bundle: Bundle, settings: Settings) -> float:
    """Return CPU milliseconds a photo where it is decoded whole, and only then made smaller."""
    size, most = bundle.preprocessing.crop, settings.max_pixels
    return _each_ms(photos, lambda data: decode_full(data, most).resize(size, Resampling.BILINEAR))


def _each_ms(photos: Sequence[PhotoFile], do: Callable[[bytes], object]) -> float:
    """Do it for some time, with each photo as often as with the others."""
    count = 0
    end = time.perf_counter() + _SECONDS
    before = time.process_time()
    while time.perf_counter() < end:
        for photo in photos:
            do(photo.data)
        count += len(photos)
    return 1000 * (time.process_time() - before) / count


async def _batches_ms(workers: Sequence[Worker], pixels: Sequence[Pixels], size: int) -> float:
    await asyncio.gather(*(_infer_for(0, worker, pixels, size) for worker in workers))
    before = _children_cpu_s()
    work = (_infer_for(_SECONDS, worker, pixels, size) for worker in workers)
    counts = await asyncio.gather(*work)
    return 1000 * (_children_cpu_s() - before) / sum(counts)


async def _infer_for(seconds: float, worker: Worker, pixels: Sequence[Pixels], size: int) -> int:
    """Run batches for some time, one at least; return how many images that were."""
    photos, count = cycle(pixels), 0
    end = time.perf_counter() + seconds
    while not count or time.perf_counter() < end:
        await worker.infer(list(islice(photos, size)))
        count += size
    return count


def _children_cpu_s() -> float:
    """Return the CPU of this process's workers."""
    used = usage(child.pid for child in multiprocessing.active_children() if child.pid)
    return used.cpu_s if used else 0.0
