"""The highest rate that a server sustains: double the rate until it fails, then bisect."""

from collections.abc import Awaitable, Callable

from app.bench.measure.runner import Measurement

_TOLERANCE = 0.05
_MAX_RUNS = 14


async def highest_rate(sustains: Callable[[float], Awaitable[bool]], first: float) -> float:
    """Return the highest rate that `sustains` confirms, to within 5 %, in at most 14 runs.

    If it confirms no rate, 0 is returned.

    Args:
        sustains: loads the server at a rate, and tells whether the server sustains it.
        first: the rate of the first run.
    """
    low, high, rate = 0.0, float("inf"), first
    for _ in range(_MAX_RUNS):
        if await sustains(rate):
            low = rate
        else:
            high = rate
        if high == float("inf"):
            rate = 2 * low
        elif high - low > _TOLERANCE * high:
            rate = (low + high) / 2
        else:
            break
    return low


def sustained(measurement: Measurement, p99_ms: float) -> bool:
    """Tell whether every request got its right answer and p99 is below the bound."""
    latency = measurement.summary.latency_ms
    return measurement.summary.errors == 0 and latency is not None and latency.p99 < p99_ms
