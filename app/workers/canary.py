"""Canaries: idle workers are asked for golden answers, and replaced if they do not give them."""

import asyncio

from app.errors import ServiceError
from app.model import golden
from app.model.golden import Golden
from app.telemetry.metrics import Metrics
from app.workers.interfaces import Pool, Worker
from app.workers.messages import WorkerConfig
from app.workers.slots import Slot


async def send_canaries(
    pool: Pool, config: WorkerConfig, interval_s: float, metrics: Metrics
) -> None:
    """Ask an idle worker for the bundle's golden answers every `interval_s`, until cancelled.

    The function returns at once if the bundle records no golden answers.
    """
    picture = golden.drawn_picture(*config.bundle.preprocessing.crop)
    while answers := config.bundle.golden:
        await asyncio.sleep(interval_s)
        if pool.slots.free and (worker := pool.take()):
            slot = pool.slots.put(picture)
            result = await _asked(worker, slot, answers, config)
            slot.release()
            metrics.canaries.labels(result).inc()
            if result != "failed":
                metrics.golden_ok.set(result == "ok")
            if result != "ok":
                worker.lose("canary")
            pool.give_back(worker)
            pool.on_idle()


async def _asked(worker: Worker, slot: Slot, answers: Golden, config: WorkerConfig) -> str:
    """Return the label for the metric: "ok", "wrong" or "failed"."""
    try:
        scores, _ = await worker.infer([slot])
    except ServiceError:
        return "failed"
    return "ok" if answers.agrees(scores[0], config.engine) else "wrong"
