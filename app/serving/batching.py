"""The queue between requests and workers. The queue knows no HTTP, no image format and no Paddle.

Its state changes only in plain functions between two awaits, because a cancellation cannot
interrupt these.
"""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.errors import InferenceFailed, ServiceError
from app.model.engine import Scores
from app.model.features import Question
from app.telemetry.metrics import Metrics
from app.workers.interfaces import Pool, Worker
from app.workers.messages import Inspected
from app.workers.slots import Slot
from app.workers.throughput import Throughput

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """The network's answer to one photo.

    Attributes:
        scores: (classes,) float32.
        queue_s: seconds that the photo waited for a worker.
        inference_s: seconds that the photo's batch took.
        batch_size: photos in that batch.
        inspected: the answer to the request's question, if it has one.
        unfamiliarity: from 0 to 1; None if the bundle cannot tell, or a question was asked.
    """

    scores: Scores
    queue_s: float
    inference_s: float
    batch_size: int
    inspected: Inspected | None = None
    unfamiliarity: float | None = None


@dataclass(eq=False)
class _Waiting:
    slot: Slot
    future: asyncio.Future[Answer]
    since: float
    question: Question | None

    def end(self, outcome: "_Outcome") -> None:
        """Give the caller the outcome, if the caller still waits for it, and the slot back."""
        if not self.future.done():
            if isinstance(outcome, Answer):
                self.future.set_result(outcome)
            else:
                # Each future gets a new exception, because raising one adds a traceback to it.
                self.future.set_exception(type(outcome)(str(outcome)))
        self.slot.release()


_Outcome = Answer | ServiceError


class Batcher:
    """Hands photos to idle workers in batches.

    An idle worker starts at once on its share of the waiting photos. While all workers are busy,
    the next batch grows, up to the pool's `batch_cap`. Now and then the cap wants a batch of
    another size, to compare, and gets it if enough photos wait. If `max_wait_s` is above 0, an idle
    worker first waits for a batch to fill, but no longer than that. A photo with a question is a
    batch of its own.

    Attributes:
        rate: the throughput of the workers.
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

    def submit(self, slot: Slot, question: Question | None = None) -> asyncio.Future[Answer]:
        """Queue the photo in `slot`, and return its future. Cancelling it removes the photo."""
        future = asyncio.get_running_loop().create_future()
        # The event loop's clock would be too coarse, because uvloop's counts whole milliseconds.
        waiting = _Waiting(slot, future, time.perf_counter(), question)
        slot.retain()
        self._queue.append(waiting)
        self._dispatch()
        return waiting.future

    def _dispatch(self) -> None:
        """Start a batch on every idle worker while photos wait. This function never awaits."""
        while self._drop_gone() and self._batch_due() and (worker := self._pool.take()):
            task = asyncio.create_task(self._run(worker, self._next_batch()))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    def _drop_gone(self) -> bool:
        """Drop photos at the head that need no answer any more, and return whether others wait.

        A photo needs no answer if its client has left or its deadline has passed.
        """
        while self._queue and self._queue[0].future.done():
            self._queue.popleft().slot.release()
        return bool(self._queue)

    def _batch_due(self) -> bool:
        """Return whether the next batch is full or its first photo has waited long enough.

        If neither is true, a timer calls `_dispatch` when the photo has waited long enough.
        """
        if self._timer:
            self._timer.cancel()
        remaining_s = self._queue[0].since + self._max_wait_s - time.perf_counter()
        if len(self._queue) >= self._pool.batch_cap.size or remaining_s <= 0:
            return True
        self._timer = asyncio.get_running_loop().call_later(remaining_s, self._dispatch)
        return False

    def _next_batch(self) -> list[_Waiting]:
        size = self._next_size()
        batch: list[_Waiting] = []
        while len(batch) < size and self._drop_gone():
            if self._queue[0].question:
                return batch or [self._queue.popleft()]
            batch.append(self._queue.popleft())
        return batch

    def _next_size(self) -> int:
        waiting = len(self._queue)
        wanted = self._pool.batch_cap.wanted()
        if wanted and wanted <= waiting:
            return wanted
        return min(self._pool.batch_cap.size, math.ceil(waiting / self._sharing_workers))

    @property
    def _sharing_workers(self) -> int:
        """How many workers share the waiting photos.

        All workers share them, because a busy worker is soon idle. If idle workers wait for a batch
        to fill, one worker takes all photos.
        """
        return 1 if self._max_wait_s else max(1, self._pool.up)

    async def _run(self, worker: Worker, batch: Sequence[_Waiting]) -> None:
        # Whatever happens, no photo of the batch is left waiting without an answer.
        outcomes: Sequence[_Outcome] = [InferenceFailed()] * len(batch)
        try:
            outcomes = await self._outcomes(worker, batch)
        finally:
            # The worker gets its next batch first, because sending these answers takes the server
            # a few milliseconds.
            self._pool.give_back(worker)
            self._dispatch()
            for waiting, outcome in zip(batch, outcomes, strict=True):
                waiting.end(outcome)

    async def _outcomes(self, worker: Worker, batch: Sequence[_Waiting]) -> Sequence[_Outcome]:
        try:
            return await self._attempt(worker, batch)
        except InferenceFailed as error:
            if len(batch) == 1:
                return [error]
            # Each photo runs again alone, so that only the photo that breaks the batch fails.
            return [(await self._outcomes(worker, [waiting]))[0] for waiting in batch]
        except ServiceError as error:
            return [error] * len(batch)

    async def _attempt(self, worker: Worker, batch: Sequence[_Waiting]) -> Sequence[Answer]:
        """Run the batch and return its answers.

        Raises:
            ServiceError: the batch failed, `InferenceFailed` if only by one of its photos.
        """
        started = time.perf_counter()
        question = batch[0].question
        inspected: Inspected | None = None
        unfamiliarity: Sequence[float | None] = [None] * len(batch)
        self._metrics.batch_size.observe(len(batch))
        try:
            if question:
                inspected = await worker.inspect(batch[0].slot, question)
                scores, seconds = inspected.scores[np.newaxis], inspected.seconds
            else:
                self._metrics.batch_padding.inc(self._pool.padding(len(batch)))
                answered = await worker.answer([waiting.slot for waiting in batch])
                scores, seconds = answered.scores, answered.seconds
                if answered.unfamiliarity is not None:
                    unfamiliarity = answered.unfamiliarity.tolist()
        except ServiceError:
            raise
        except Exception as error:
            log.exception("a batch failed")
            raise InferenceFailed from error
        if len(scores) != len(batch):
            raise InferenceFailed
        self.rate.learn(seconds / len(batch))
        return [
            Answer(row, started - waiting.since, seconds, len(batch), inspected, far)
            for waiting, row, far in zip(batch, scores, unfamiliarity, strict=True)
        ]
