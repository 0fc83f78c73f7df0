"""Canaries find a real worker process that hangs or gives wrong answers."""

import os
import signal
from pathlib import Path
from typing import cast

import pytest
from real_pools import pids, pool_of, restarts, until

from app.model.bundle import Bundle, load_bundle
from app.telemetry.metrics import Metrics

pytestmark = pytest.mark.anyio


@pytest.fixture
def bundle(small_bundle: Path) -> Bundle:
    return load_bundle(small_bundle)


@pytest.mark.slow
async def test_the_canary_finds_a_worker_that_hangs_while_idle(bundle: Bundle) -> None:
    async with pool_of(bundle, batch_timeout_s=0.3, canary_interval_s=0.05) as pool:
        (old,) = pids()
        os.kill(old, signal.SIGSTOP)
        await until(lambda: old not in pids())
        await until(lambda: pool.up)


@pytest.mark.slow
async def test_the_canary_finds_a_worker_whose_answers_are_wrong(bundle: Bundle) -> None:
    metrics = Metrics()
    async with pool_of(bundle, metrics, canary_interval_s=0.05) as pool:
        (old,) = pids()
        assert bundle.golden
        answers = cast("dict[int, float]", bundle.golden.scores)
        right = dict(answers)
        answers[0] = 2.0
        await until(lambda: old not in pids())
        answers.update(right)
        await until(lambda: pool.up)
        assert restarts(metrics, "canary") >= 1
