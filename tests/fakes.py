"""The only fake of the tests: a worker pool that a test controls."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Self

import numpy as np

from app.errors import InferenceFailed
from app.model.engine import Scores
from app.model.features import ActivationMap, Question
from app.workers.batch_cap import BatchCap
from app.workers.interfaces import Worker
from app.workers.messages import Answered, Inspected
from app.workers.slots import PixelSlots, Slot


class FakeWorker:
    """A worker that returns class i for a photo whose first byte is i. Its pool controls it."""

    def __init__(self, pool: "FakePool") -> None:
        self._pool = pool

    async def infer(self, slots: Sequence[Slot]) -> tuple[Scores, float]:
        answered = await self.answer(slots)
        return answered.scores, answered.seconds

    async def answer(self, slots: Sequence[Slot]) -> Answered:
        images = [slot.pixels for slot in slots]
        self._pool.batches.append([int(image.flat[0]) for image in images])
        await self._pool.gate.wait()
        if self._pool.failures and (failure := self._pool.failures.popleft()):
            raise failure
        if any(image.flat[0] == self._pool.poison for image in images):
            raise InferenceFailed
        scores = np.zeros((len(images), self._pool.classes), np.float32)
        for row, image in zip(scores, images, strict=True):
            row[int(image.flat[0]) % self._pool.classes] = self._pool.score
        seconds, far = self._pool.seconds, self._pool.unfamiliarity
        unfamiliarity = None if far is None else np.full(len(images), far, np.float32)
        rows = len(images) - self._pool.rows_missing
        return Answered(scores[:rows], seconds, seconds, unfamiliarity)

    async def inspect(self, slot: Slot, question: Question) -> Inspected:
        """Return a vector and a map that follow from the first byte of the photo."""
        scores, seconds = await self.infer([slot])
        first = int(slot.pixels.flat[0])
        class_id = int(scores[0].argmax()) if question.class_id is None else question.class_id
        values = np.arange(6, dtype=np.float32).reshape(2, 3) + first
        picture = b"a picture" if question.aspect == "picture" else None
        activation = None if question.aspect == "vector" else ActivationMap(values, 0.5)
        vector = np.array([3, 4, first], np.float32)
        return Inspected(scores[0], seconds, vector, class_id, activation, picture)

    def lose(self, reason: str) -> None:
        raise NotImplementedError


class FakePool:
    """A worker pool without processes.

    Attributes:
        rows_missing: the number of rows by which each answer of a worker is too short.
        seconds: the inference time that a worker reports.
        score: the score of the class that a photo has; the others have 0.
        unfamiliarity: that of each photo; None as for a bundle that cannot tell.
        poison: a photo whose first byte is this number fails its whole batch.
        batches: the first byte of each photo, for every batch so far.
        failures: the errors that the next batches raise, one each; None for a batch that succeeds.
        gate: batches wait until this event is set.
        slots: room for photos of 64 x 64 pixels.
    """

    def __init__(self, workers: int = 1, classes: int = 3, max_batch_size: int = 4) -> None:
        self.on_idle: Callable[[], None] = lambda: None
        self.classes = classes
        self.batch_cap = BatchCap(max_batch_size)
        self.slots = PixelSlots(256, (64, 64))
        self.up = workers
        self.failing = False
        self.hopeless = False
        self.pids: Sequence[int] = ()
        self.rows_missing = 0
        self.seconds = 0.002
        self.score = 1.0
        self.unfamiliarity: float | None = None
        self.poison = 66
        self.batches: list[list[int]] = []
        self.failures: deque[Exception | None] = deque()
        self.gate = asyncio.Event()
        self.gate.set()
        self.idle: deque[Worker] = deque(FakeWorker(self) for _ in range(workers))

    def grow(self, workers: int) -> None:
        self.idle += (FakeWorker(self) for _ in range(self.up, workers))
        self.up = workers

    def padding(self, count: int) -> int:
        return self.batch_cap.size - count

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    def take(self) -> Worker | None:
        return self.idle.popleft() if self.idle else None

    def give_back(self, worker: Worker) -> None:
        self.idle.append(worker)
