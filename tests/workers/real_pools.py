"""Helpers of the worker tests: pools of real processes, and questions about them."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest
from running import process_name

from app.bench.measure.processes import descendants
from app.errors import WorkerLost
from app.images.preprocessing import Pixels
from app.model.bundle import Bundle
from app.settings import Settings
from app.telemetry.metrics import Metrics
from app.workers.pool import WorkerPool
from app.workers.slots import Slot
from app.workers.worker import WorkerProcess

BLACK: Pixels = np.zeros((64, 64, 3), np.uint8)


def pool_of(bundle: Bundle, metrics: Metrics | None = None, **settings: float) -> WorkerPool:
    options = {"workers": 1, "max_batch_size": 4, "batch_timeout_s": 30, **settings}
    return WorkerPool(bundle, Settings.model_validate(options), metrics or Metrics())


def put(pool: WorkerPool, *photos: Pixels) -> list[Slot]:
    """Put photos where the workers read them; without photos, a black one."""
    return [pool.slots.put(photo) for photo in photos or (BLACK,)]


def pids(name: str = "worker") -> list[int]:
    return sorted(pid for pid in descendants(os.getpid()) if process_name(pid) == name)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  (another process meets it)
            await asyncio.sleep(0.01)


def waits_for_batches(pid: int) -> bool:
    """Return whether a worker has its model: then it has lowered its priority, and it sleeps."""
    state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    own = os.getpriority(os.PRIO_PROCESS, 0)
    return os.getpriority(os.PRIO_PROCESS, pid) > own and state == "S"


async def taken(pool: WorkerPool) -> WorkerProcess:
    """Wait for an idle worker, take it and return it."""
    async with asyncio.timeout(60):
        while not (worker := pool.take()):  # noqa: ASYNC110  (a canary may use it)
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
