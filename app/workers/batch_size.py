"""The best batch size on this machine: each worker times batches, and the pool decides."""

import time
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from app.model.engine import Engine
from app.settings import Device

# A worker tries these batch sizes if none is set. A GPU needs far larger batches than a core. On a
# core, batches above 8 were never better, and each photo of a batch takes some 20 MB.
CANDIDATES: dict[Device, tuple[int, ...]] = {
    "cpu": (1, 2, 4, 8),
    "gpu": (1, 2, 4, 8, 16, 32, 64, 128),
}
# A size counts as good as the best one if its time per photo is at most this factor longer. The
# smallest such size is chosen, because a photo waits less for a small batch.
_GOOD_ENOUGH = 1.05
# Each batch costs this time beside the network: a task, two messages, two processes that wake up,
# and lost caches. In batches of 4, a served photo takes 0.5 to 1.4 ms less than in batches of 2.
_BATCH_OVERHEAD_S = 0.002


def measure(
    engine: Engine, images: npt.NDArray[np.uint8], sizes: Sequence[int], budget_s: float
) -> dict[int, float]:
    """Warm up and time these batch sizes; stop before the first one that exceeds the budget.

    Args:
        engine: the loaded model.
        images: (N, H, W, 3), at least as many as the largest size.
        sizes: the batch sizes in ascending order.
        budget_s: a batch that would take longer than this is not tried.

    Returns:
        {size: seconds}; the smallest size is always measured.
    """
    first_pass: dict[int, float] = {}
    for size in sizes:
        if first_pass and _extrapolated(first_pass, size) > budget_s:
            break
        # The first run of a size is slow, so it is not timed.
        engine.infer(images[:size])
        first_pass[size] = min(_timed(engine, images[:size]) for _ in range(2))
    # Each size is timed again later. The shortest time counts, because a disturbance from outside
    # only makes a run slower.
    second_pass = {size: _timed(engine, images[:size]) for size in first_pass}
    return quickest([first_pass, second_pass])


def quickest(curves: Sequence[Mapping[int, float]]) -> dict[int, float]:
    """Return {size: shortest time} for the sizes that all `curves` have measured."""
    sizes = [size for size in curves[0] if all(size in curve for curve in curves)]
    return {size: min(curve[size] for curve in curves) for size in sizes}


def best_batch_size(batch_seconds: Mapping[int, float]) -> int:
    """Return the smallest size whose time per photo is about as good as the best one."""
    per_photo = {
        size: (seconds + _BATCH_OVERHEAD_S) / size for size, seconds in batch_seconds.items()
    }
    longest = _GOOD_ENOUGH * min(per_photo.values())
    return min(size for size, seconds in per_photo.items() if seconds <= longest)


def _extrapolated(batch_seconds: Mapping[int, float], size: int) -> float:
    largest = max(batch_seconds)
    return batch_seconds[largest] * size / largest


def _timed(engine: Engine, batch: npt.NDArray[np.uint8]) -> float:
    started = time.perf_counter()
    engine.infer(batch)
    return time.perf_counter() - started
