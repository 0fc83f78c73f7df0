"""Measurements of a server that misbehaves as scripted."""

import asyncio

import numpy as np
import pytest
from scripted_server import CLASSES, PHOTOS, Reply, ScriptedServer, answer, right

from app.bench.load.generator import LoadPlan, arrivals
from app.bench.load_test import prepared, run_loop
from app.bench.measure.runner import Measurement

SHORT = LoadPlan(concurrency=4, seconds=2, warmup_seconds=0.1)


def measure(server: ScriptedServer, plan: LoadPlan, deadline_ms: int | None = None) -> Measurement:
    """Run the load tool against a server in this process."""

    async def run() -> Measurement:
        async with server.running() as target, prepared(target, PHOTOS, deadline_ms) as runner:
            server.script = server.later
            return await runner.run(plan)

    return run_loop(run())


@pytest.mark.slow
def test_a_server_that_is_always_right() -> None:
    server = ScriptedServer()
    measurement = measure(server, SHORT, deadline_ms=900)
    summary = measurement.summary
    assert summary.requests > 20
    assert summary.errors == 0
    assert summary.right_per_s == summary.answers_per_s > 0
    # Each of the four clients keeps its connection and reuses it.
    assert server.connections <= 4 + 1
    assert all("X-Deadline-Ms: 900\r\n" in head for head in server.heads)
    counts = np.bincount([result.case_index for result in measurement.results[:300]])
    assert counts.min() > 0


@pytest.mark.slow
def test_wrong_refused_and_dropped_are_told_apart() -> None:
    turn = iter(range(10**9))

    async def mixed(photo: str) -> Reply:
        await asyncio.sleep(0.001)
        match next(turn) % 10:
            case 0:
                # This is the answer to another photo.
                return 200, answer(CLASSES[photo] + 1, 0.75)
            case 1 | 2:
                return 429, b'{"code": "overloaded"}'
            case 3:
                return None
            case _:
                return await right(photo)

    measurement = measure(ScriptedServer(mixed), SHORT)
    total = len(measurement.results)
    counts = {
        reason: sum(result.reason == reason for result in measurement.results)
        for reason in ("", "wrong", "overloaded", "ConnectionResetError")
    }
    assert sum(counts.values()) == total > 50
    for reason, share in (("wrong", 0.1), ("overloaded", 0.2), ("ConnectionResetError", 0.1)):
        assert counts[reason] == pytest.approx(share * total, abs=2)
    summary = measurement.summary
    assert summary.wrong == counts["wrong"]
    assert summary.errors_by_status.keys() == {"429"}
    assert summary.errors_by_code.keys() == {"overloaded"}
    assert summary.transport_errors.keys() == {"ConnectionResetError"}
    assert summary.refusal_ms
    assert summary.right_per_s < summary.answers_per_s


@pytest.mark.slow
def test_a_stall_counts_from_when_requests_should_have_been_sent() -> None:
    """The server stalls once for 0.4 s, and the requests of that time wait behind each other."""
    first, gate = iter([True]), asyncio.Lock()

    async def stalling(photo: str) -> Reply:
        async with gate:
            if next(first, False):
                await asyncio.sleep(0.4)
        return await right(photo)

    plan = LoadPlan(rate=200, seconds=0.8, warmup_seconds=0)
    measurement = measure(ScriptedServer(stalling), plan)
    times = arrivals(200, 0.8, seed=0)
    assert len(measurement.results) == len(times)
    assert measurement.summary.errors == 0
    latencies = sorted((result.latency_s for result in measurement.results), reverse=True)
    # The requests of the stall's first 0.3 s have to wait for at least 0.1 s.
    stalled = int((times < times[0] + 0.3).sum())
    assert stalled > 30
    # uvloop's clock ticks in milliseconds.
    assert latencies[0] >= 0.399
    assert latencies[stalled - 1] >= 0.1
