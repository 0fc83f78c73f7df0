"""The queue between requests and workers. Knows no HTTP, no image format and no Paddle.

State changes only in plain functions, between two awaits, so no cancellation can land in them.
"""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from app.errors import InferenceFailed, ServiceError
from app.images.preprocessing import Pixels
from app.model.engine import Scores
from app.serving.throughput import Throughput
from app.telemetry.metrics import Metrics
from app.workers.interfaces import Pool, Worker

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """What one photo gets: scores (classes,), how long it waited and ran, and with how many."""

    scores: Scores
    queue_s: float
    inference_s: float
    batch_size: int


@dataclass(eq=False)
class _Waiting:
    pixels: Pixels
    future: asyncio.Future[Answer]
    since: float


class Batcher:
    """Hands photos to idle workers in batches.

    An idle worker starts at once on its share of what waits, and while all are busy the next batch
    grows, up to the pool's `max_batch_size`. Only with a `max_wait_s` above 0 does an idle worker
    wait so long for a batch to fill.

    Attributes:
        rate: at which the workers finish photos.
    """

    def __init__(self, pool: Pool, max_wait_s: float, metrics: Metrics) -> None:
        self.rate = Throughput(lambda: pool.up)
        self._max_wait_s = max_wait_s
        self._timer: asyncio.TimerHandle | None = None
        self._metrics = metrics
        self._pool = pool
        self._queue: deque[_Waiting] = deque()
        self._running: set[asyncio.Task[None]] = set()
        pool.on_idle = self._dispatch

    @property
    def waiting(self) -> int:
        """Photos that wait for a worker."""
        return len(self._queue)

    def submit(self, pixels: Pixels) -> asyncio.Future[Answer]:
        """Queue one photo. Cancelling the future takes it out again."""
        future = asyncio.get_running_loop().create_future()
        waiting = _Waiting(pixels, future, time.perf_counter())  # uvloop's clock has milliseconds
        self._queue.append(waiting)
        self._dispatch()
        return waiting.future

    def _dispatch(self) -> None:
        """Start a batch on every idle worker while photos wait. Never awaits."""
        while self._drop_gone() and self._ripe() and (worker := self._pool.take()):
            task = asyncio.create_task(self._run(worker, self._next_batch()))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    def _drop_gone(self) -> bool:
        """Forget callers at the head who left or whose time is up; tell whether any are there."""
        while self._queue and self._queue[0].future.done():
            self._queue.popleft()
        return bool(self._queue)

    def _ripe(self) -> bool:
        """Tell whether the head of the queue has waited enough; else come back when it has."""
        if self._timer:
            self._timer.cancel()
        left = self._queue[0].since + self._max_wait_s - time.perf_counter()
        if len(self._queue) >= self._pool.max_batch_size or left <= 0:
            return True
        self._timer = asyncio.get_running_loop().call_later(left, self._dispatch)
        return False

    def _next_batch(self) -> list[_Waiting]:
        most = min(self._pool.max_batch_size, math.ceil(len(self._queue) / self._sharing))
        batch: list[_Waiting] = []
        while len(batch) < most and self._drop_gone():
            batch.append(self._queue.popleft())
        return batch

    @property
    def _sharing(self) -> int:
        """Workers that share what waits, as they are idle soon; one where batches shall fill."""
        return 1 if self._max_wait_s else max(1, self._pool.up)

    async def _run(self, worker: Worker, batch: list[_Waiting]) -> None:
        try:
            error = await self._attempt(worker, batch)
            if isinstance(error, InferenceFailed) and len(batch) > 1:
                for waiting in batch:  # one by one, so that only the culprit fails
                    _fail([waiting], await self._attempt(worker, [waiting]))
            _fail(batch, error)
        finally:
            _fail(batch, InferenceFailed())  # whoever has no answer by now, whatever happened
            self._pool.give_back(worker)
            self._dispatch()

    async def _attempt(self, worker: Worker, batch: list[_Waiting]) -> ServiceError | None:
        """Give each of the batch its answer, or return why there is none."""
        started = time.perf_counter()
        self._metrics.batch_size.observe(len(batch))
        self._metrics.batch_padding.inc(self._pool.padding(len(batch)))
        try:
            scores, seconds = await worker.infer([waiting.pixels for waiting in batch])
        except ServiceError as error:
            return error
        except Exception:
            log.exception("a batch failed")
            return InferenceFailed()
        if len(scores) != len(batch):
            return InferenceFailed()
        self.rate.learn(seconds / len(batch))
        for waiting, row in zip(batch, scores, strict=True):
            if not waiting.future.done():
                queue_s = started - waiting.since
                waiting.future.set_result(Answer(row, queue_s, seconds, len(batch)))
        return None


def _fail(batch: Sequence[_Waiting], error: ServiceError | None) -> None:
    for waiting in batch:
        if error and not waiting.future.done():
            waiting.future.set_exception(type(error)(str(error)))  # one each, with its traceback
