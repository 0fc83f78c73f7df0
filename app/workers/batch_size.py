"""Which batch size is best here: measured by each worker at its start, decided by the pool."""

import time
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from app.model.engine import Engine
from app.settings import Device

# Batch sizes that are tried where none is set; a GPU wants far larger ones than a core.
CANDIDATES: dict[Device, tuple[int, ...]] = {
    "cpu": (1, 2, 4, 8, 16, 32),
    "gpu": (1, 2, 4, 8, 16, 32, 64, 128),
}
# A batch size this much slower for each photo than the best is as good: a smaller batch waits less.
_AS_GOOD = 1.05
# What each batch costs beside the network, a task, two messages, two processes woken, caches lost:
# served in batches of 4 a photo takes 0.5 to 1.4 ms less than in batches of 2.
_BATCH_S = 0.002


def measure(
    engine: Engine, images: npt.NDArray[np.uint8], sizes: Sequence[int], budget_s: float
) -> dict[int, float]:
    """Warm and time these batch sizes, up to the first that would take longer than the budget.

    Returns:
        {size: seconds}, of the smallest size at least.
    """
    first: dict[int, float] = {}
    for size in sizes:
        if first and _predicted(first, size) > budget_s:
            break
        engine.infer(images[:size])  # a size's first run is slow
        first[size] = min(_timed(engine, images[:size]) for _ in range(2))
    # Later once more, and the quickest counts: whatever disturbs a run only makes it slower.
    return quickest([first, {size: _timed(engine, images[:size]) for size in first}])


def quickest(curves: Sequence[Mapping[int, float]]) -> dict[int, float]:
    """Return the least time of each size that all have measured."""
    sizes = [size for size in curves[0] if all(size in curve for curve in curves)]
    return {size: min(curve[size] for curve in curves) for size in sizes}


def best_batch_size(batch_seconds: Mapping[int, float]) -> int:
    """Return the smallest size whose time for each photo is as good as the best."""
    each = {size: (seconds + _BATCH_S) / size for size, seconds in batch_seconds.items()}
    return min(size for size, seconds in each.items() if seconds <= _AS_GOOD * min(each.values()))


def _predicted(batch_seconds: Mapping[int, float], size: int) -> float:
    largest = max(batch_seconds)
    return batch_seconds[largest] * size / largest


def _timed(engine: Engine, batch: npt.NDArray[np.uint8]) -> float:
    started = time.perf_counter()
    engine.infer(batch)
    return time.perf_counter() - started
