"""The baseline: the cost of decoding and of the network alone, without a server around them.

All costs are milliseconds of CPU per photo, summed over all threads.
"""

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
from app.workers.slots import Slot

BATCH_SIZES = (1, 2, 4, 8)
# Each measurement lasts this long, because the kernel counts CPU time in steps of 10 ms.
_SECONDS = 1.5


@asynccontextmanager
async def idle_workers(
    bundle: Bundle, settings: Settings, pixels: Sequence[Pixels]
) -> AsyncIterator[tuple[list[Worker], list[Slot]]]:
    """Start one worker per core, of the same kind as the service's.

    Yields:
        The idle workers, and the photos in the memory that they read, as many as there is room for.

    Raises:
        StartupError: a worker cannot load the model.
    """
    workers = {"workers": granted_cores(), "max_batch_size": max(BATCH_SIZES)}
    async with WorkerPool(bundle, settings.model_copy(update=workers), Metrics()) as pool:
        photos = [pool.slots.put(one) for one in pixels[: len(pool.slots.free)]]
        yield list(iter(pool.take, None)), photos


async def engine_ms(
    workers: Sequence[Worker], photos: Sequence[Slot], sizes: Sequence[int] = BATCH_SIZES
) -> dict[int, float]:
    """Return the CPU milliseconds per image by batch size, with all these workers busy at once.

    Raises:
        StartupError: a worker fails.
    """
    try:
        return {size: await _batches_ms(workers, photos, size) for size in sizes}
    except ServiceError as error:
        raise StartupError(f"the engine cannot be measured alone: {error}") from error


def decode_ms(photos: Sequence[PhotoFile], bundle: Bundle, settings: Settings) -> float:
    """Return the CPU milliseconds per photo of decoding as the service does it."""
    spec, max_pixels = bundle.preprocessing, settings.max_pixels
    return _each_ms(photos, lambda data: decode(data, spec, max_pixels))


def plain_decode_ms(photos: Sequence[PhotoFile], bundle: Bundle, settings: Settings) -> float:
    """Return the CPU milliseconds per photo of decoding it in full size and then shrinking it."""
    size, max_pixels = bundle.preprocessing.crop, settings.max_pixels

    def decode_and_shrink(data: bytes) -> None:
        decode_full(data, max_pixels).resize(size, Resampling.BILINEAR)

    return _each_ms(photos, decode_and_shrink)


def _each_ms(photos: Sequence[PhotoFile], do: Callable[[bytes], object]) -> float:
    """Return the CPU milliseconds that `do` takes per photo; each photo counts equally often."""
    count = 0
    end = time.perf_counter() + _SECONDS
    before = time.process_time()
    while time.perf_counter() < end:
        for photo in photos:
            do(photo.data)
        count += len(photos)
    return 1000 * (time.process_time() - before) / count


async def _batches_ms(workers: Sequence[Worker], photos: Sequence[Slot], size: int) -> float:
    await asyncio.gather(*(_infer_for(0, worker, photos, size) for worker in workers))
    before = _children_cpu_s()
    work = (_infer_for(_SECONDS, worker, photos, size) for worker in workers)
    counts = await asyncio.gather(*work)
    return 1000 * (_children_cpu_s() - before) / sum(counts)


async def _infer_for(seconds: float, worker: Worker, photos: Sequence[Slot], size: int) -> int:
    """Run batches for this time, at least one batch; return the number of images."""
    endless, count = cycle(photos), 0
    end = time.perf_counter() + seconds
    while not count or time.perf_counter() < end:
        await worker.infer(list(islice(endless, size)))
        count += size
    return count


def _children_cpu_s() -> float:
    """Return the CPU seconds that this process's workers have used."""
    used = usage(child.pid for child in multiprocessing.active_children() if child.pid)
    return used.cpu_s if used else 0.0
