"""A run of the load with liveness probes at the same time, as an orchestrator sends them."""

import asyncio
import time
from contextlib import suppress

from app.bench.load.client import Connections
from app.bench.load.generator import LoadPlan
from app.bench.load.target import Target
from app.bench.measure.runner import Measurement, Runner

_PROBE_INTERVAL_S = 0.05


async def probed_run(
    runner: Runner, plan: LoadPlan, path: str = "/health/live"
) -> tuple[Measurement, list[float]]:
    """Return the measurement, and the response times of its liveness probes in seconds.

    Only probes of the measured time count. A probe that loses its connection counts with the time
    until the loss.
    """
    probes: list[tuple[float, float]] = []
    probing = asyncio.create_task(_probe(runner.connections.target, path, probes))
    try:
        measurement = await runner.run(plan)
    finally:
        probing.cancel()
        with suppress(asyncio.CancelledError):
            await probing
    took = [seconds for intended, seconds in probes if intended in measurement.window]
    return measurement, took


async def _probe(target: Target, path: str, probes: list[tuple[float, float]]) -> None:
    """Send a probe every 50 ms; append its intended send time and its response time to `probes`."""
    connections = Connections(target, 1)
    request = target.get(path)
    intended = time.perf_counter()
    while True:
        await asyncio.sleep(max(0.0, intended - time.perf_counter()))
        with suppress(OSError):
            await connections.exchange(request)
        probes.append((intended, time.perf_counter() - intended))
        intended += _PROBE_INTERVAL_S
