"""The queue between requests and workers. Knows no HTTP, no image format and no Paddle.

State changes only in plain functions, between two awaits, so no cancellation can land in them.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from app.errors import InferenceFailed, Overloaded, ServiceError
from app.metrics import Metrics

log = logging.getLogger(__name__)

Pixels = npt.NDArray[np.uint8]  # (H, W, 3)
Scores = npt.NDArray[np.float32]


class Worker(Protocol):
    """What classifies one batch at a time."""

    async def infer(self, images: Sequence[Pixels]) -> tuple[Scores, float]:
        """Return (N, classes) and the seconds it took; a ServiceError holds for all N."""

    def release(self) -> None:
        """Give the worker back to its pool, whatever has become of it."""


class Pool(Protocol):
    """Where idle workers are had."""

    on_idle: Callable[[], None]

    def take(self) -> Worker | None:
        """Return an idle worker, None where none is."""


@dataclass(frozen=True)
class Answer:
    """What one photo gets: scores (classes,), and how long it waited and ran."""

    scores: Scores
    queue_s: float
    inference_s: float


@dataclass(eq=False)
class _Waiting:
    pixels: Pixels
    future: asyncio.Future[Answer]
    since: float


class Batcher:
    """Admits photos up to `capacity` and hands them to idle workers in batches.

    There is no timer: an idle worker starts at once on what waits, and while all are busy the
    next batch grows, up to `max_batch_size`.
    """

    def __init__(self, pool: Pool, capacity: int, max_batch_size: int, metrics: Metrics) -> None:
        self.in_flight = 0
        self._capacity = capacity
        self._max_batch_size = max_batch_size
        self._metrics = metrics
        self._pool = pool
        self._queue: deque[_Waiting] = deque()
        self._running: set[asyncio.Task[None]] = set()
        pool.on_idle = self._dispatch
        metrics.capacity.set(capacity)
        metrics.queue_depth.set_function(lambda: len(self._queue))
        metrics.in_flight.set_function(lambda: self.in_flight)

    @contextmanager
    def admit(self) -> Iterator[None]:
        """Hold one of the places, from the door to the answer.

        Raises:
            Overloaded: all places are taken.
        """
        if self.in_flight >= self._capacity:
            raise Overloaded
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1

    def submit(self, pixels: Pixels) -> asyncio.Future[Answer]:
        """Queue one photo. Cancelling the future takes it out again."""
        loop = asyncio.get_running_loop()
        waiting = _Waiting(pixels, loop.create_future(), loop.time())
        self._queue.append(waiting)
        self._dispatch()
        return waiting.future

    def _dispatch(self) -> None:
        """Start a batch on every idle worker while photos wait. Never awaits."""
        while self._drop_gone() and (worker := self._pool.take()):
            task = asyncio.create_task(self._run(worker, self._next_batch()))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    def _drop_gone(self) -> bool:
        """Forget callers at the head who left or whose time is up; tell whether any are there."""
        while self._queue and self._queue[0].future.done():
            self._queue.popleft()
        return bool(self._queue)

    def _next_batch(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        while len(batch) < self._max_batch_size and self._drop_gone():
            batch.append(self._queue.popleft())
        return batch

    async def _run(self, worker: Worker, batch: list[_Waiting]) -> None:
        started = asyncio.get_running_loop().time()
        self._metrics.batch_size.observe(len(batch))
        try:
            scores, seconds = await worker.infer([waiting.pixels for waiting in batch])
            if len(scores) != len(batch):
                raise InferenceFailed
        except ServiceError as error:
            _fail(batch, error)
        except Exception:
            log.exception("a batch failed")
        else:
            for waiting, row in zip(batch, scores, strict=True):
                if not waiting.future.done():
                    waiting.future.set_result(Answer(row, started - waiting.since, seconds))
        finally:
            _fail(batch, InferenceFailed())  # whoever has no answer by now, whatever happened
            worker.release()


def _fail(batch: Sequence[_Waiting], error: ServiceError) -> None:
    for waiting in batch:
        if not waiting.future.done():
            waiting.future.set_exception(type(error)(str(error)))
