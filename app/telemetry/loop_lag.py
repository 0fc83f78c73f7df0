"""How late the event loop wakes: whatever blocks it delays every caller, and shows here."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from prometheus_client import Histogram

_INTERVAL_S = 0.1


@asynccontextmanager
async def watched(lag_seconds: Histogram) -> AsyncIterator[None]:
    """Measure the running event loop's lag, from now to the end of the block."""
    task = asyncio.create_task(_watch(lag_seconds))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _watch(lag_seconds: Histogram) -> None:
    while True:
        due = time.perf_counter() + _INTERVAL_S  # uvloop's own clock stands still in a callback
        await asyncio.sleep(_INTERVAL_S)
        lag_seconds.observe(max(0.0, time.perf_counter() - due))
