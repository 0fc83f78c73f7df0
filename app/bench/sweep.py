"""The highest rate that a server stands: double until it fails, then bisect."""

from collections.abc import Awaitable, Callable

from app.bench.measure.runner import Measurement

_CLOSE_ENOUGH = 0.05
_MAX_RUNS = 14


async def highest_rate(stands: Callable[[float], Awaitable[bool]], first: float) -> float:
    """Return the highest rate found that `stands`, to 5 %; 0 where none did in 14 runs.

    Args:
        stands: tries a rate.
        first: the rate to begin with.
    """
    low, high, rate = 0.0, float("inf"), first
    for _ in range(_MAX_RUNS):
        if await stands(rate):
            low = rate
        else:
            high = rate
        if high == float("inf"):
            rate = 2 * low
        elif high - low > _CLOSE_ENOUGH * high:
            rate = (low + high) / 2
        else:
            break
    return low


def stands(run: Measurement, p99_ms: float) -> bool:
    """Tell whether every request got its right answer and p99 is under the bound."""
    latency = run.summary.latency_ms
    return run.summary.errors == 0 and latency is not None and latency.p99 < p99_ms
