"""The lag of the event loop: the metric shows a stall, and a quiet loop has no lag."""

import asyncio
import time

import pytest

from app.telemetry.loop_lag import watched
from app.telemetry.metrics import Metrics

NAME = "classifier_event_loop_lag_seconds"


def value(metrics: Metrics, suffix: str) -> float:
    return metrics.registry.get_sample_value(NAME + suffix) or 0.0


async def observed(metrics: Metrics, count: float) -> None:
    async with asyncio.timeout(30):
        while value(metrics, "_count") < count:  # noqa: ASYNC110  (a histogram has no event)
            await asyncio.sleep(0.01)


def stall() -> None:
    """Block the event loop, as a decode in the server's process would."""
    time.sleep(0.4)


@pytest.mark.anyio
async def test_a_stall_of_the_event_loop_is_seen() -> None:
    metrics = Metrics()
    async with watched(metrics.loop_lag_seconds):
        await observed(metrics, 1)
        before, count = value(metrics, "_sum"), value(metrics, "_count")
        # The watcher waits for its next wake-up already, so it wakes late.
        stall()
        await observed(metrics, count + 1)
        assert value(metrics, "_sum") - before > 0.25


@pytest.mark.anyio
async def test_afterwards_nothing_watches_any_more() -> None:
    before = asyncio.all_tasks()
    async with watched(Metrics().loop_lag_seconds):
        assert len(asyncio.all_tasks()) == len(before) + 1
    assert asyncio.all_tasks() == before
