"""Messages between the server's process and a worker process."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from app.model.bundle import Bundle
from app.model.engine import Scores
from app.model.features import ActivationMap, Question
from app.settings import Device, EngineName, LogFormat, LogLevel
from app.workers import batch_size

Vector = npt.NDArray[np.float32]


@dataclass(frozen=True)
class WorkerConfig:
    """The configuration that a worker process gets at its start.

    Attributes:
        max_batch_size: the largest batch that the worker gets, as set; None if the pool learns it.
        measured: the largest size that the first workers have measured, up to which this one warms
            up without measuring; None if the worker has to measure.
        slots: how many photos fit into the shared memory from which the worker reads.
        batch_budget_s: the worker does not measure batches that would take longer than this.
    """

    bundle: Bundle
    engine: EngineName
    device: Device
    threads: int
    max_batch_size: int | None
    measured: int | None
    batch_budget_s: float
    slots: int
    log_level: LogLevel
    log_format: LogFormat

    @property
    def buckets(self) -> Sequence[int]:
        """The batch sizes that the worker warms up, ascending; a batch is padded to one of them."""
        if self.max_batch_size is None:
            return batch_size.CANDIDATES[self.device]
        largest = self.max_batch_size
        powers = itertools.takewhile(lambda size: size < largest, (2**i for i in range(16)))
        return (*powers, largest)

    def bucket(self, count: int) -> int:
        """Return the warmed-up size to which a batch of `count` images is padded."""
        return min(size for size in self.buckets if size >= count)

    @property
    def photo_shape(self) -> tuple[int, int, int]:
        """The shape of one photo: (H, W, 3)."""
        width, height = self.bundle.preprocessing.crop
        return height, width, 3


@dataclass(frozen=True)
class Answered:
    """The message of a worker that has computed a batch.

    Attributes:
        scores: (N, classes) float32.
        seconds: the elapsed time.
        cost_s: the time by which batch sizes are compared; see `batch_size.clock`.
        unfamiliarity: (N,) float32; None if the bundle cannot tell.
    """

    scores: Scores
    seconds: float
    cost_s: float
    unfamiliarity: Vector | None = None


@dataclass(frozen=True)
class Inspect:
    """The message to a worker that has to answer a question about one photo, in slot `index`."""

    index: int
    question: Question


@dataclass(frozen=True)
class Inspected:
    """The message of a worker that has inspected one photo.

    Attributes:
        scores: (classes,) float32.
        seconds: the elapsed time, without the time to load the second network.
        vector: (K,) float32, what the classifier gets.
        class_id: the class of the map; the likeliest one unless the question names another.
        map: where the network looked for that class; None if only the vector was asked for.
        picture: the map on the photo as a PNG file, if asked for.
    """

    scores: Scores
    seconds: float
    vector: Vector
    class_id: int
    map: ActivationMap | None = None
    picture: bytes | None = None


@dataclass(frozen=True)
class Ready:
    """The message of a worker that can serve now.

    Attributes:
        classes: the number of classes of the network.
        batch_seconds: {batch size: seconds}; empty if the worker has measured none.
        warning: what is doubtful about the bundle; otherwise empty.
    """

    classes: int
    batch_seconds: dict[int, float] = field(default_factory=dict)
    warning: str = ""
