"""One real worker process: batches, death, a hang, its priority and signals."""

import gc
import os
import select
import signal
from pathlib import Path

import numpy as np
import pytest
from real_pools import lost, pids, pool_of, put, restarts, taken, until

from app.model.bundle import Bundle, load_bundle
from app.telemetry.metrics import Metrics

pytestmark = pytest.mark.anyio


@pytest.fixture
def bundle(small_bundle: Path) -> Bundle:
    return load_bundle(small_bundle)


async def test_a_batch_of_any_size_gets_a_row_each(bundle: Bundle) -> None:
    rng = np.random.default_rng(1)
    photos = list(rng.integers(0, 256, (4, 64, 64, 3), np.uint8))
    async with pool_of(bundle, max_batch_size=4) as pool:
        assert pool.classes == 3
        worker = await taken(pool)
        slots = put(pool, *photos)
        together, _ = await worker.infer(slots)
        # The worker pads a batch of 3 to 4.
        for count in (1, 2, 3):
            scores, seconds = await worker.infer(slots[:count])
            assert scores.shape == (count, 3)
            assert np.allclose(scores, together[:count], atol=1e-5)
            assert seconds > 0
        # Different photos have different scores.
        assert np.ptp(together, axis=0).max() > 1e-3


@pytest.mark.slow
async def test_a_death_that_shows_only_on_sending_is_a_lost_worker(
    bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = Metrics()
    async with pool_of(bundle, metrics) as pool:
        worker = await taken(pool)
        (pid,) = pids()
        death = os.pidfd_open(pid)
        os.kill(pid, signal.SIGKILL)
        # This blocks the event loop, so the pool cannot notice the death before.
        select.select([death], [], [], 60)
        os.close(death)
        await lost(worker.infer(put(pool)))
        pool.give_back(worker)
        assert len(await (await taken(pool)).infer(put(pool))) == 2
    assert restarts(metrics, "crash") == 1
    del worker
    gc.collect()
    assert "never retrieved" not in caplog.text


@pytest.mark.slow
async def test_a_stopped_worker_does_not_stop_the_loop_and_is_killed(bundle: Bundle) -> None:
    metrics = Metrics()
    async with pool_of(bundle, metrics, batch_timeout_s=2) as pool:
        worker = await taken(pool)
        (pid,) = pids()
        os.kill(pid, signal.SIGSTOP)
        # The timeout ends this call only if the event loop is not blocked.
        await lost(worker.infer(put(pool) * 4))
        await until(lambda: pid not in pids())
        assert len(await (await taken(pool)).infer(put(pool))) == 2
    assert restarts(metrics, "hang") == 1


async def test_a_worker_lets_the_server_go_first(bundle: Bundle) -> None:
    async with pool_of(bundle):
        own = os.getpriority(os.PRIO_PROCESS, 0)
        assert all(os.getpriority(os.PRIO_PROCESS, pid) > own for pid in pids())


async def test_signals_to_the_whole_group_do_not_end_a_worker(bundle: Bundle) -> None:
    async with pool_of(bundle) as pool:
        (pid,) = pids()
        os.kill(pid, signal.SIGINT)
        os.kill(pid, signal.SIGTERM)
        assert len(await (await taken(pool)).infer(put(pool))) == 2
        assert pids() == [pid]
