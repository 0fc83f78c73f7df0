"""The worker processes, real ones: crash, hang, replacement, and starts that cannot succeed."""

import asyncio
import gc
import multiprocessing
import os
import shutil
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import yaml

from app.errors import StartupError, WorkerLost
from app.images.preprocessing import Pixels
from app.model.bundle import CONFIG, Bundle, load_bundle
from app.settings import Settings
from app.telemetry.metrics import Metrics
from app.workers.batch_size import best_batch_size
from app.workers.pool import WorkerPool
from app.workers.worker import WorkerProcess

pytestmark = pytest.mark.anyio

PHOTO: Pixels = np.zeros((64, 64, 3), np.uint8)


@pytest.fixture
def bundle(small_bundle: Path) -> Bundle:
    return load_bundle(small_bundle)


def pool_of(bundle: Bundle, metrics: Metrics | None = None, **settings: float) -> WorkerPool:
    options = {"workers": 1, "max_batch_size": 4, "batch_timeout_s": 30, **settings}
    return WorkerPool(bundle, Settings.model_validate(options), metrics or Metrics())


def pids() -> list[int]:
    return [child.pid for child in multiprocessing.active_children() if child.pid]


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  (the condition is another process's)
            await asyncio.sleep(0.01)


def waits_for_batches(pid: int) -> bool:
    """Tell if a worker has its model: it has lowered its priority, and sleeps."""
    state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    own = os.getpriority(os.PRIO_PROCESS, 0)
    return os.getpriority(os.PRIO_PROCESS, pid) > own and state == "S"


async def taken(pool: WorkerPool) -> WorkerProcess:
    """Wait for an idle worker and take it."""
    async with asyncio.timeout(60):
        while not (worker := pool.take()):  # noqa: ASYNC110  (a canary may have it)
            await asyncio.sleep(0.01)
    return worker


def restarts(metrics: Metrics, reason: str) -> float:
    count = metrics.registry.get_sample_value(
        "classifier_worker_restarts_total", {"reason": reason}
    )
    assert count is not None
    return count


async def lost(call: Awaitable[object]) -> None:
    with pytest.raises(WorkerLost):
        await call


async def test_a_batch_of_any_size_gets_a_row_each(bundle: Bundle) -> None:
    rng = np.random.default_rng(1)
    photos = list(rng.integers(0, 256, (4, 64, 64, 3), np.uint8))
    async with pool_of(bundle, max_batch_size=4) as pool:
        assert pool.classes == 3
        worker = await taken(pool)
        together, _ = await worker.infer(photos)
        for count in (1, 2, 3):  # 3 is padded to the bucket of 4
            scores, seconds = await worker.infer(photos[:count])
            assert scores.shape == (count, 3)
            assert np.allclose(scores, together[:count], atol=1e-5)
            assert seconds > 0
        assert np.ptp(together, axis=0).max() > 1e-3  # different photos, different answers


async def test_leaving_the_pool_leaves_no_process(bundle: Bundle) -> None:
    async with pool_of(bundle, workers=2) as pool:
        assert pool.up == 2
        assert len(pids()) == 2
    assert pids() == []


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


@pytest.mark.parametrize("busy", [True, False])
async def test_a_killed_worker_is_replaced(bundle: Bundle, busy: bool) -> None:
    metrics = Metrics()
    async with pool_of(bundle, metrics) as pool:
        (pid,) = pids()
        if busy:
            os.kill(pid, signal.SIGSTOP)  # so that the batch cannot end before the kill
            worker = await taken(pool)
            call = asyncio.create_task(worker.infer([PHOTO]))
            await asyncio.sleep(0)
            os.kill(pid, signal.SIGKILL)
            await lost(call)
            pool.give_back(worker)
        else:
            os.kill(pid, signal.SIGKILL)
        await until(lambda: pool.up == 0)
        assert pool.take() is None
        worker = await taken(pool)
        assert len(await worker.infer([PHOTO])) == 2
        assert pids() != [pid]
    assert restarts(metrics, "crash") == 1


async def test_a_death_that_shows_only_on_sending_is_a_lost_worker(
    bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = Metrics()
    async with pool_of(bundle, metrics) as pool:
        worker = await taken(pool)
        (pid,) = pids()
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # noqa: ASYNC222  (the loop is busy)
        await lost(worker.infer([PHOTO]))
        pool.give_back(worker)
        assert len(await (await taken(pool)).infer([PHOTO])) == 2
    assert restarts(metrics, "crash") == 1
    del worker
    gc.collect()
    assert "never retrieved" not in caplog.text


async def test_a_stopped_worker_does_not_stop_the_loop_and_is_killed(bundle: Bundle) -> None:
    metrics = Metrics()
    async with pool_of(bundle, metrics, batch_timeout_s=2) as pool:
        worker = await taken(pool)
        (pid,) = pids()
        os.kill(pid, signal.SIGSTOP)
        await lost(worker.infer([PHOTO] * 4))  # only a loop that is free hears that time is over
        await until(lambda: pid not in pids())
        assert len(await (await taken(pool)).infer([PHOTO])) == 2
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
        assert len(await (await taken(pool)).infer([PHOTO])) == 2
        assert pids() == [pid]


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


async def test_when_no_replacement_starts_it_says_so_and_recovers(
    small_bundle: Path, tmp_path: Path
) -> None:
    place = tmp_path / "bundle"
    shutil.copytree(small_bundle, place)
    async with pool_of(load_bundle(place)) as pool:
        pool.first_pause_s, pool.hopeless_after = 0.001, 2
        graph = (place / "inference.json").rename(tmp_path / "away")
        os.kill(pids()[0], signal.SIGKILL)
        await until(lambda: pool.hopeless)
        assert pool.failing
        assert pool.take() is None
        graph.rename(place / "inference.json")
        worker = await taken(pool)
        assert len(await worker.infer([PHOTO])) == 2
        assert not pool.hopeless


async def test_where_no_batch_size_is_set_it_is_measured(bundle: Bundle) -> None:
    settings = Settings(workers=1, batch_budget_s=30)
    async with WorkerPool(bundle, settings, Metrics()) as pool:
        assert list(pool.batch_seconds) == [1, 2, 4, 8, 16, 32]
        assert all(seconds > 0 for seconds in pool.batch_seconds.values())
        assert pool.max_batch_size == best_batch_size(pool.batch_seconds)
        scores, _ = await (await taken(pool)).infer([PHOTO] * pool.max_batch_size)
        assert len(scores) == pool.max_batch_size


async def test_a_batch_over_the_budget_ends_the_measuring(bundle: Bundle) -> None:
    settings = Settings(workers=1, batch_budget_s=1e-9)
    async with WorkerPool(bundle, settings, Metrics()) as pool:
        assert list(pool.batch_seconds) == [1]
        assert pool.max_batch_size == 1


async def test_a_worker_that_has_served_long_serves_until_its_successor_does(
    bundle: Bundle,
) -> None:
    metrics = Metrics()
    async with pool_of(bundle, metrics, recycle_after_batches=2) as pool:
        (old,) = pids()
        for _ in range(2):
            worker = await taken(pool)
            await worker.infer([PHOTO])
            pool.give_back(worker)
        while old in pids():
            assert pool.up >= 1
            if idle := pool.take():
                await idle.infer([PHOTO])
                pool.give_back(idle)
            await asyncio.sleep(0.01)
        await until(lambda: pool.up == 1)
        assert len(await (await taken(pool)).infer([PHOTO])) == 2
    assert restarts(metrics, "recycle") >= 1
    assert restarts(metrics, "crash") == 0


async def test_a_worker_that_has_grown_over_its_memory_is_due(bundle: Bundle) -> None:
    async with pool_of(bundle, recycle_above_bytes=100_000_000) as pool:
        (old,) = pids()
        worker = await taken(pool)
        worker.bytes_at_start = 0
        pool.give_back(worker)
        await until(lambda: old not in pids())
        assert len(await (await taken(pool)).infer([PHOTO])) == 2


async def test_a_bound_below_a_new_workers_memory_replaces_nobody_and_is_told_once(
    bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    async with pool_of(bundle, workers=2, recycle_above_bytes=100_000_000) as pool:
        for _ in range(4):
            worker = await taken(pool)
            await worker.infer([PHOTO])
            pool.give_back(worker)
            assert not worker.successor_wanted.is_set()
    (line,) = [line for line in caplog.messages if "RECYCLE" in line]
    assert line.startswith("CLASSIFIER_RECYCLE_ABOVE_BYTES replaces nobody: a new worker holds")


async def test_the_canary_finds_a_worker_that_hangs_while_idle(bundle: Bundle) -> None:
    async with pool_of(bundle, batch_timeout_s=0.3, canary_interval_s=0.05) as pool:
        (old,) = pids()
        os.kill(old, signal.SIGSTOP)
        await until(lambda: old not in pids())
        await until(lambda: pool.up)


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


@pytest.mark.parametrize(
    ("milliseconds", "best"),
    [
        ({1: 14, 2: 24, 4: 45, 8: 90, 16: 182}, 4),
        ({1: 100, 2: 200, 4: 400}, 1),
        ({1: 9.6, 2: 18.8, 4: 37.2}, 4),  # as flat, but each batch costs two milliseconds more
        ({1: 10, 2: 15, 4: 20, 8: 30}, 8),
        ({1: 10}, 1),
    ],
)
def test_the_smallest_batch_that_is_as_good_as_the_best_is_taken(
    milliseconds: dict[int, float], best: int
) -> None:
    assert best_batch_size({size: ms / 1000 for size, ms in milliseconds.items()}) == best
