"""The event loop's lag is measured: a stall shows, a quiet loop does not."""

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
        while value(metrics, "_count") < count:  # noqa: ASYNC110  (a histogram tells nobody)
            await asyncio.sleep(0.01)


def stall() -> None:
    """Hold the event loop, as a decode would that someone put into it by mistake."""
    time.sleep(0.4)


@pytest.mark.anyio
async def test_a_stall_of_the_event_loop_is_seen() -> None:
    metrics = Metrics()
    async with watched(metrics.loop_lag_seconds):
        await observed(metrics, 1)
        before, count = value(metrics, "_sum"), value(metrics, "_count")
        stall()  # it is in a wait already
        await observed(metrics, count + 1)
        assert value(metrics, "_sum") - before > 0.25


@pytest.mark.anyio
async def test_afterwards_nothing_watches_any_more() -> None:
    before = asyncio.all_tasks()
    async with watched(Metrics().loop_lag_seconds):
        assert len(asyncio.all_tasks()) == len(before) + 1
    assert asyncio.all_tasks() == before
