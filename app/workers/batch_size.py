"""Which batch size is best: each worker times batches at its start, and the pool chooses."""

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from app.model.engine import Engine
from app.settings import Device

# A worker tries these batch sizes if none is set. A GPU needs far larger batches than a core. On a
# core, batches of 8 were at most 3 % better than batches of 4, and each worker held 70 MB more.
CANDIDATES: dict[Device, tuple[int, ...]] = {
    "cpu": (1, 2, 4),
    "gpu": (1, 2, 4, 8, 16, 32, 64, 128),
}
# A size counts as good as the best one if its time per photo is at most this factor longer. The
# smallest such size is chosen, because a photo waits less for a small batch.
_GOOD_ENOUGH = 1.05
# The present size changes only if it is wrong by both of these factors, so that noise does not
# change it.
_SURELY_GOOD, _HARDLY_GOOD = 1.03, 1.07
# Each batch costs this time beside the network: a task, two messages, two processes that wake up,
# and lost caches. In batches of 4, a served photo takes 0.5 to 1.4 ms less than in batches of 2;
# with ONNX Runtime 0.7 ms less, though the network alone takes 0.45 ms more.
_BATCH_OVERHEAD_S = 0.004


Clock = Callable[[], float]


def clock(device: Device, threads: int) -> Clock:
    """Return the clock that times batches, in seconds.

    A single thread on a core is timed by the process's CPU time: a busy neighbour takes away
    elapsed time, at random, but hardly makes a batch cost more CPU time. Several threads wait for
    one another, and a core waits for a GPU, so there the elapsed time counts.
    """
    return time.process_time if device == "cpu" and threads == 1 else time.perf_counter


def measure(
    engine: Engine,
    images: npt.NDArray[np.uint8],
    sizes: Sequence[int],
    budget_s: float,
    clock: Clock,
) -> dict[int, float]:
    """Warm up and time these batch sizes; stop before the first one that exceeds the budget.

    Args:
        engine: the loaded model.
        images: (N, H, W, 3), at least as many as the largest size.
        sizes: the batch sizes in ascending order.
        budget_s: a batch that would take longer than this is not tried.
        clock: times the batches.

    Returns:
        {size: seconds}; the smallest size is always measured.
    """
    first_pass: dict[int, float] = {}
    for size in sizes:
        if first_pass and extrapolated(first_pass, size) > budget_s:
            break
        # The first run of a size is slow, so it is not timed.
        engine.infer(images[:size])
        first_pass[size] = min(_timed(engine, images[:size], clock) for _ in range(2))
    # Each size is timed again later. The shortest time counts, because a disturbance from outside
    # only makes a run slower.
    second_pass = {size: _timed(engine, images[:size], clock) for size in first_pass}
    return quickest([first_pass, second_pass])


def quickest(curves: Sequence[Mapping[int, float]]) -> dict[int, float]:
    """Return {size: shortest time} for the sizes that all `curves` have measured."""
    sizes = [size for size in curves[0] if all(size in curve for curve in curves)]
    return {size: min(curve[size] for curve in curves) for size in sizes}


def best_batch_size(batch_seconds: Mapping[int, float], present: int | None = None) -> int:
    """Return the smallest size whose time per photo is about as good as the best one.

    The `present` size, if there is one, is kept unless another one is clearly better.
    """
    if present is None:
        return _smallest(batch_seconds, _GOOD_ENOUGH)
    lowest, highest = (_smallest(batch_seconds, f) for f in (_HARDLY_GOOD, _SURELY_GOOD))
    return min(highest, max(lowest, present))


def _smallest(batch_seconds: Mapping[int, float], factor: float) -> int:
    """Return the smallest size whose time per photo is at most `factor` times the best one."""
    per_photo = {
        size: (seconds + _BATCH_OVERHEAD_S) / size for size, seconds in batch_seconds.items()
    }
    longest = factor * min(per_photo.values())
    return min(size for size, seconds in per_photo.items() if seconds <= longest)


def extrapolated(batch_seconds: Mapping[int, float], size: int) -> float:
    """Return the seconds of a batch of `size` that follow from the largest size in the mapping."""
    largest = max(batch_seconds)
    return batch_seconds[largest] * size / largest


def _timed(engine: Engine, batch: npt.NDArray[np.uint8], clock: Clock) -> float:
    started = clock()
    engine.infer(batch)
    return clock() - started
