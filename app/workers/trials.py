"""Trials without photos: idle workers try the batch sizes that the pool wants to compare."""

import asyncio
import time

from app.errors import ServiceError
from app.workers.batch_cap import BatchCap
from app.workers.interfaces import Pool, Worker

# Trials take at most this share of the workers' time, unless a round of them takes very long.
_SHARE = 0.01
_SHORTEST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 15.0


async def try_batch_sizes(pool: Pool, cap: BatchCap) -> None:
    """Let idle workers run the batches that `cap` wants, until cancelled.

    While all workers are busy, there is no trial, and photos that wait make up these batches. A
    photo that arrives during a trial waits for no more than that one batch.
    """
    while True:
        began = time.perf_counter()
        while (size := cap.wanted()) and pool.slots.free and (worker := pool.take()):
            await _try(size, worker, pool, cap)
        pause_s = (time.perf_counter() - began) / _SHARE / max(1, pool.up)
        await asyncio.sleep(min(_LONGEST_PAUSE_S, max(_SHORTEST_PAUSE_S, pause_s)))


async def _try(size: int, worker: Worker, pool: Pool, cap: BatchCap) -> None:
    """Run one batch; the worker tells `cap` how long it took."""
    # Whatever lies in one slot makes up the whole batch.
    slot = pool.slots.free.pop()
    slot.retain()
    try:
        await worker.infer([slot] * size)
    except ServiceError:
        cap.end_round()
    slot.release()
    pool.give_back(worker)
    pool.on_idle()
