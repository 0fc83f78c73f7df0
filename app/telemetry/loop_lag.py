"""How late the event loop wakes. A function that blocks the loop delays every client."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from prometheus_client import Histogram

_INTERVAL_S = 0.1


@asynccontextmanager
async def watched(lag_seconds: Histogram) -> AsyncIterator[None]:
    """Measure the running event loop's lag until the end of the block."""
    task = asyncio.create_task(_watch(lag_seconds))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _watch(lag_seconds: Histogram) -> None:
    while True:
        # uvloop's own clock does not advance during a callback, so it cannot show a stall.
        due = time.perf_counter() + _INTERVAL_S
        await asyncio.sleep(_INTERVAL_S)
        lag_seconds.observe(max(0.0, time.perf_counter() - due))
