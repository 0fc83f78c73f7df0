"""A run, and meanwhile a probe of liveness, as an orchestrator sends it."""

import asyncio
import time
from contextlib import suppress

from app.bench.load.client import Connections
from app.bench.load.generator import LoadPlan
from app.bench.load.target import Target
from app.bench.measure.runner import Measurement, Runner

_PROBE_S = 0.05


async def probed_run(
    ready: Runner, plan: LoadPlan, path: str = "/health/live"
) -> tuple[Measurement, list[float]]:
    """Return the run and how long the probes of its measured time took, in seconds.

    A probe whose connection was lost counts with the time until then.
    """
    probes: list[tuple[float, float]] = []
    probing = asyncio.create_task(_probe(ready.connections.target, path, probes))
    try:
        run = await ready.run(plan)
    finally:
        probing.cancel()
        with suppress(asyncio.CancelledError):
            await probing
    return run, [seconds for intended, seconds in probes if intended in run.window]


async def _probe(target: Target, path: str, probes: list[tuple[float, float]]) -> None:
    """Ask every 50 ms on a connection of its own; time counts from the schedule."""
    connections = Connections(target, 1)
    request = target.get(path)
    intended = time.perf_counter()
    while True:
        await asyncio.sleep(max(0.0, intended - time.perf_counter()))
        with suppress(OSError):
            await connections.exchange(request)
        probes.append((intended, time.perf_counter() - intended))
        intended += _PROBE_S
