"""What the server's process and a worker process tell each other over their pipe."""

import itertools
from dataclasses import dataclass, field

from app.model.bundle import Bundle
from app.settings import Device, EngineName, LogFormat, LogLevel
from app.workers import batch_size


@dataclass(frozen=True)
class WorkerConfig:
    """What a worker process is told at its start.

    Attributes:
        max_batch_size: the largest batch it will get; None where it shall find out what is best.
        batch_budget_s: with None, batches that would take longer than this are not tried.
    """

    bundle: Bundle
    engine: EngineName
    device: Device
    threads: int
    max_batch_size: int | None
    batch_budget_s: float
    log_level: LogLevel
    log_format: LogFormat

    @property
    def buckets(self) -> tuple[int, ...]:
        """The batch sizes that are warmed; a batch is padded to the next of them."""
        if self.max_batch_size is None:
            return batch_size.CANDIDATES[self.device]
        largest = self.max_batch_size
        powers = itertools.takewhile(lambda size: size < largest, (2**i for i in range(16)))
        return (*powers, largest)

    def bucket(self, count: int) -> int:
        """Return the warmed size that a batch of `count` is padded to."""
        return min(size for size in self.buckets if size >= count)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(largest batch, H, W, 3), the shape of the memory shared with the worker."""
        width, height = self.bundle.preprocessing.crop
        return self.buckets[-1], height, width, 3


@dataclass(frozen=True)
class Ready:
    """What a worker says once it can serve: its class count and, where measured, {size: s}."""

    classes: int
    batch_seconds: dict[int, float] = field(default_factory=dict)
