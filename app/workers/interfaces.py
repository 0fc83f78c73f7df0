"""What the queue and the service ask of the workers, whether real ones or a test's fake."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from app.images.preprocessing import Pixels
from app.model.bundle import Bundle
from app.model.engine import Scores
from app.settings import Settings
from app.telemetry.metrics import Metrics


class Worker(Protocol):
    """Classifies one batch at a time."""

    async def infer(self, images: Sequence[Pixels]) -> tuple[Scores, float]:
        """Return the scores (N, classes) and the seconds that the batch took.

        Raises:
            ServiceError: it holds for all N images.
        """

    def lose(self, reason: str) -> None:
        """Give the worker up; its pool replaces it. `reason` is the metric's label."""


class Pool(Protocol):
    """Workers that have loaded the same model.

    Attributes:
        on_idle: the pool calls it when a worker has become idle by itself, as a new one does.
        classes: how many classes the network knows.
        max_batch_size: images in one batch at most.
        batch_seconds: {batch size: seconds} as measured at the start; empty if none were measured.
    """

    on_idle: Callable[[], None]
    classes: int
    max_batch_size: int
    batch_seconds: Mapping[int, float]

    @property
    def up(self) -> int:
        """Workers that have their model."""

    @property
    def failing(self) -> bool:
        """Whether no worker is left and new ones repeatedly fail to start."""

    @property
    def hopeless(self) -> bool:
        """Whether only a restart of the service can help."""

    def padding(self, count: int) -> int:
        """Return how many rows a batch of `count` images computes in vain."""

    def take(self) -> Worker | None:
        """Return an idle worker, or None if there is none. The caller gives it back."""

    def give_back(self, worker: Worker) -> None:
        """Take back a worker from `take`, whatever has become of it."""

    def grow(self, workers: int) -> None:
        """From now on keep `workers` workers; the new ones are started one by one."""


PoolFactory = Callable[[Bundle, Settings, Metrics], AbstractAsyncContextManager[Pool]]
