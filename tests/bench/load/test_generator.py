"""Arrivals of the open loop, and latencies that count from the intended send time."""

import asyncio
import time

import numpy as np
import pytest
from scripted_server import PHOTOS, Reply, ScriptedServer, right

from app.bench.load.answers import ask_reference
from app.bench.load.client import Connections
from app.bench.load.generator import LoadGenerator, LoadPlan, arrivals
from app.errors import StartupError


def test_poisson_arrivals() -> None:
    times = arrivals(200, 50, seed=7)
    gaps = np.diff(times)
    assert (gaps > 0).all()
    assert 0 < times[0] < times[-1] < 50
    assert len(times) == pytest.approx(10_000, rel=0.05)
    # In an exponential distribution, the standard deviation equals the mean.
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)
    assert np.array_equal(times, arrivals(200, 50, seed=7))
    assert not np.array_equal(times[:10], arrivals(200, 50, seed=8)[:10])


def test_too_many_arrivals_are_refused() -> None:
    with pytest.raises(StartupError, match="requests are too many"):
        arrivals(1e6, 3600, seed=0)


def test_with_too_few_connections_the_wait_for_one_counts() -> None:
    async def slow(photo: str) -> Reply:
        await asyncio.sleep(0.05)
        return await right(photo)

    server = ScriptedServer(slow)

    async def run() -> list[float]:
        async with server.running() as target:
            connections = Connections(target, 1)
            cases = await ask_reference(connections, PHOTOS, "")
            server.script = slow
            plan = LoadPlan(rate=1000, seconds=0.01, warmup_seconds=0)
            generator = LoadGenerator(connections, cases, plan)
            await generator.run(time.perf_counter())
            connections.close()
            return sorted(result.latency_s for result in generator.results)

    latencies = asyncio.run(run())
    assert len(latencies) >= 5
    assert latencies[-1] >= 0.05 * len(latencies) - 0.02
