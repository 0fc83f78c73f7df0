"""Pools of real worker processes: starts, failed starts, replacement and recycling."""

import asyncio
import os
import shutil
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import yaml
from networks import export_sigmoid, linear_network
from real_pools import lost, pids, pool_of, put, restarts, taken, until, waits_for_batches

from app.errors import StartupError
from app.model.bundle import CONFIG, Bundle, load_bundle
from app.telemetry.metrics import Metrics

pytestmark = pytest.mark.anyio


@pytest.fixture
def bundle(small_bundle: Path) -> Bundle:
    return load_bundle(small_bundle)


@pytest.mark.slow
async def test_leaving_the_pool_leaves_no_process(bundle: Bundle) -> None:
    async with pool_of(bundle, workers=2) as pool:
        assert pool.up == 2
        assert len(pids()) == 2
    assert pids() == []


@pytest.mark.slow
async def test_a_worker_killed_while_others_still_load_does_not_count(bundle: Bundle) -> None:
    async with AsyncExitStack() as stack:
        pool = pool_of(bundle, workers=2)
        starting = asyncio.create_task(stack.enter_async_context(pool))
        await until(lambda: len(pids()) == 2)
        first, second = pids()
        os.kill(second, signal.SIGSTOP)
        await until(lambda: waits_for_batches(first))
        os.kill(first, signal.SIGKILL)
        await until(lambda: first not in pids())
        os.kill(second, signal.SIGCONT)
        await starting
        assert pool.up == 1
        await until(lambda: pool.up == 2)


@pytest.mark.slow
@pytest.mark.parametrize("busy", [True, False])
async def test_a_killed_worker_is_replaced(bundle: Bundle, busy: bool) -> None:
    metrics = Metrics()
    async with pool_of(bundle, metrics) as pool:
        (pid,) = pids()
        if busy:
            # A stopped worker cannot finish the batch before the kill.
            os.kill(pid, signal.SIGSTOP)
            worker = await taken(pool)
            call = asyncio.create_task(worker.infer(put(pool)))
            await asyncio.sleep(0)
            os.kill(pid, signal.SIGKILL)
            await lost(call)
            pool.give_back(worker)
        else:
            os.kill(pid, signal.SIGKILL)
        await until(lambda: pool.up == 0)
        assert pool.take() is None
        worker = await taken(pool)
        assert len(await worker.infer(put(pool))) == 2
        assert pids() != [pid]
    assert restarts(metrics, "crash") == 1


@pytest.mark.slow
async def test_a_worker_that_cannot_start_is_one_line(small_bundle: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(small_bundle, broken)
    config = yaml.safe_load((broken / CONFIG).read_text())
    config["PostProcess"]["Topk"]["label_list"].append("one too many")
    (broken / CONFIG).write_text(yaml.safe_dump(config))
    with pytest.raises(StartupError, match="4 labels, but the network has 3 classes"):
        async with pool_of(load_bundle(broken), workers=2):
            pytest.fail("it started")
    assert pids() == []


async def test_a_start_that_takes_too_long_is_given_up(bundle: Bundle) -> None:
    with pytest.raises(StartupError, match="lost while it started: hang"):
        async with pool_of(bundle, start_timeout_s=0.01):
            pytest.fail("it started")
    assert pids() == []


@pytest.mark.slow
async def test_when_no_replacement_starts_it_says_so_and_recovers(
    small_bundle: Path, tmp_path: Path
) -> None:
    directory = tmp_path / "bundle"
    shutil.copytree(small_bundle, directory)
    async with pool_of(load_bundle(directory)) as pool:
        pool.first_pause_s, pool.hopeless_after = 0.001, 2
        graph = (directory / "inference.json").rename(tmp_path / "away")
        # The zygote has the network in memory, so it would not notice that the file is away.
        for pid in pids("zygote") + pids():
            os.kill(pid, signal.SIGKILL)
        await until(lambda: pool.hopeless)
        assert pool.failing
        assert pool.take() is None
        graph.rename(directory / "inference.json")
        worker = await taken(pool)
        assert len(await worker.infer(put(pool))) == 2
        assert not pool.hopeless


@pytest.mark.slow
async def test_a_worker_that_has_served_long_serves_until_its_successor_does(
    bundle: Bundle,
) -> None:
    metrics = Metrics()
    async with pool_of(bundle, metrics, recycle_after_batches=2) as pool:
        (old,) = pids()
        black = put(pool)
        for _ in range(2):
            worker = await taken(pool)
            await worker.infer(black)
            pool.give_back(worker)
        while old in pids():
            assert pool.up >= 1
            if idle := pool.take():
                await idle.infer(black)
                pool.give_back(idle)
            await asyncio.sleep(0.01)
        await until(lambda: pool.up == 1)
        assert len(await (await taken(pool)).infer(put(pool))) == 2
    assert restarts(metrics, "recycle") >= 1
    assert restarts(metrics, "crash") == 0


@pytest.mark.slow
async def test_a_worker_that_has_grown_over_its_memory_is_due(bundle: Bundle) -> None:
    async with pool_of(bundle, recycle_above_bytes=100_000_000) as pool:
        (old,) = pids()
        worker = await taken(pool)
        worker.bytes_at_start = 0
        pool.give_back(worker)
        await until(lambda: old not in pids())
        assert len(await (await taken(pool)).infer(put(pool))) == 2


@pytest.mark.slow
async def test_a_bound_below_a_new_workers_memory_replaces_nobody_and_is_told_once(
    bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    async with pool_of(bundle, workers=2, recycle_above_bytes=100_000_000) as pool:
        for _ in range(4):
            worker = await taken(pool)
            await worker.infer(put(pool))
            pool.give_back(worker)
            assert not worker.successor_wanted.is_set()
    (line,) = [line for line in caplog.messages if "RECYCLE" in line]
    assert line.startswith("CLASSIFIER_RECYCLE_ABOVE_BYTES has no effect, set it higher: a new")


@pytest.mark.slow
async def test_outputs_that_are_no_probabilities_are_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plain = export_sigmoid(linear_network(), tmp_path / "plain")
    async with pool_of(load_bundle(plain), workers=2):
        pass
    (warning,) = [each for each in caplog.messages if "no probabilities" in each]
    assert "inference.yml names no PostProcess" in warning
    caplog.clear()
    named = export_sigmoid(linear_network(), tmp_path / "named", PostProcess={"Topk": None})
    async with pool_of(load_bundle(named)):
        pass
    assert "no probabilities" not in caplog.text
