"""The interfaces through which the queue and the service use real workers or a test's fake."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from app.model.bundle import Bundle
from app.model.engine import Scores
from app.model.features import Question
from app.settings import Settings
from app.telemetry.metrics import Metrics
from app.workers.batch_cap import BatchCap
from app.workers.messages import Answered, Inspected
from app.workers.slots import PixelSlots, Slot


class Worker(Protocol):
    """Classifies one batch at a time."""

    async def answer(self, slots: Sequence[Slot]) -> Answered:
        """Return the answers to a batch of N photos.

        Raises:
            ServiceError: the batch failed, so none of the N photos has an answer.
        """

    async def infer(self, slots: Sequence[Slot]) -> tuple[Scores, float]:
        """Return the scores (N, classes) and the seconds of `answer`."""

    async def inspect(self, slot: Slot, question: Question) -> Inspected:
        """Return the answer to a question about one photo.

        Raises:
            ServiceError: there is no answer.
        """

    def lose(self, reason: str) -> None:
        """Give up the worker, so that its pool replaces it. `reason` is the metric's label."""


class Pool(Protocol):
    """Workers that have loaded the same model.

    Attributes:
        on_idle: the pool calls this function when a worker becomes idle without `give_back`, for
            example a new worker.
        classes: the number of classes of the network.
        batch_cap: the largest number of images in one batch, now.
        slots: the shared memory from which the workers read photos.
    """

    on_idle: Callable[[], None]
    classes: int
    batch_cap: BatchCap
    slots: PixelSlots

    @property
    def up(self) -> int:
        """The number of workers that have loaded their model."""

    @property
    def pids(self) -> Sequence[int]:
        """The process ids of the workers."""

    @property
    def failing(self) -> bool:
        """Whether no worker is left and new workers repeatedly fail to start."""

    @property
    def hopeless(self) -> bool:
        """Whether only a restart of the service can help."""

    def padding(self, count: int) -> int:
        """Return how many rows of padding a batch of `count` images gets."""

    def take(self) -> Worker | None:
        """Return an idle worker, or None if there is none. The caller must give it back."""

    def give_back(self, worker: Worker) -> None:
        """Take back a worker that `take` returned, even if the worker is lost."""

    def grow(self, workers: int) -> None:
        """Keep `workers` workers from now on; the pool starts the new ones in the background."""


PoolFactory = Callable[[Bundle, Settings, Metrics], AbstractAsyncContextManager[Pool]]
