"""The batches that a phase of training learns from: the trunk's output for photos, with labels."""

import math
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from app.images.preprocessing import Preprocessing
from app.training.data.dataset import Sample
from app.training.data.holdout import Photos
from app.training.data.loader import Loader, View
from app.training.network.freezing import Features, Trunk

Advance = Callable[[int], object]
Half = npt.NDArray[np.float16]
Labels = npt.NDArray[np.int64]

# A view of all photos that is larger than this lies in a file, whose pages the kernel may drop.
_MAX_IN_MEMORY = 2**28  # bytes


class Batch(NamedTuple):
    """Inputs of the tail, (N, ...) float32, and the true classes of the photos, (N,) int64."""

    inputs: Features
    labels: npt.NDArray[np.int64]


class Shard(NamedTuple):
    """The part of each batch that one process learns from when several processes train together.

    Attributes:
        rank: this process's number, from 0.
        world: the number of processes.
    """

    rank: int = 0
    world: int = 1

    def of(self, batch: list[int]) -> list[int]:
        """Return the photos of this process.

        A process gets at least one photo, because all processes must take the same steps.
        """
        return batch[self.rank :: self.world] or batch[:1]


class Batches(Protocol):
    """The training and validation batches of one phase."""

    def train(self, epoch: int, skip: int) -> Iterator[Batch]:
        """Yield the batches of an epoch except its first `skip` batches."""

    def validation(self, size: int) -> Iterator[Batch]:
        """Yield the batches of the held-out photos, in an input of `size` x `size` pixels."""


class BatchPlan(NamedTuple):
    """Which photos make up which batch.

    Attributes:
        photos: the training and the held-out photos.
        batch_size: photos in one batch of all processes together.
        key: the seed of the shuffling; each phase has its own key and so its own order.
        shard: the part of each batch that this process learns from.
    """

    photos: Photos
    batch_size: int
    key: tuple[int, ...]
    shard: Shard

    def epoch(self, epoch: int, skip: int) -> list[list[int]]:
        """Return the batches of an epoch except its first `skip`, as indices of `photos.train`."""
        batches = epoch_order(len(self.photos.train), self.batch_size, (*self.key, epoch))
        return [self.shard.of(batch) for batch in batches[skip:]]

    def labels(self, indices: Sequence[int]) -> npt.NDArray[np.int64]:
        """Return the true classes of these photos of `photos.train`, (N,)."""
        return np.array([self.photos.train[i].class_id for i in indices], np.int64)


class StreamedBatches:
    """Batches that are read from disk and sent through the trunk anew in every epoch.

    Args:
        plan: which photos make up which batch.
        loader: reads the photos.
        trunk: maps images to features.
        specs: the preprocessing by input size.
    """

    def __init__(
        self, plan: BatchPlan, loader: Loader, trunk: Trunk, specs: Mapping[int, Preprocessing]
    ) -> None:
        self._plan, self._loader, self._trunk, self._specs = plan, loader, trunk, specs

    def train(self, epoch: int, skip: int) -> Iterator[Batch]:
        """Yield the batches of an epoch except its first `skip` batches."""
        batches = self._plan.epoch(epoch, skip)
        for indices, inputs in zip(batches, self.views(batches, epoch), strict=True):
            yield Batch(inputs, self._plan.labels(indices))

    def views(self, batches: Iterable[Sequence[int]], epoch: int) -> Iterator[Features]:
        """Yield the trunk's output for each batch, with the random views of this epoch.

        Args:
            batches: indices of `photos.train`.
            epoch: the epoch's number, which seeds the random views.
        """
        samples, key = self._plan.photos.train, (*self._plan.key, epoch)
        views = ([View(samples[i].path, (*key, i)) for i in indices] for indices in batches)
        yield from map(self._trunk, self._loader.read(views))

    def validation(self, size: int) -> Iterator[Batch]:
        """Yield the batches of the held-out photos, in an input of `size` x `size` pixels."""
        yield from self.served(self._plan.photos.validation, size)

    def served(self, samples: Sequence[Sample], size: int) -> Iterator[Batch]:
        """Yield batches of photos, preprocessed as the server does it."""
        step = self._plan.batch_size
        chunks = [samples[start : start + step] for start in range(0, len(samples), step)]
        views = ([View(sample.path) for sample in chunk] for chunk in chunks)
        images = self._loader.read(views, self._specs[size])
        for chunk, pixels in zip(chunks, images, strict=True):
            labels = np.array([sample.class_id for sample in chunk], np.int64)
            yield Batch(self._trunk(pixels), labels)


class CachedBatches:
    """Batches whose inputs are computed once and kept in half precision.

    Each photo is kept in `views` random views, and epoch e learns from view e modulo `views`.

    Args:
        plan: which photos make up which batch.
        batches: computes the inputs.
        views: random views of each photo.
        advance: is called with the number of photos after each batch of inputs.
    """

    def __init__(
        self, plan: BatchPlan, batches: StreamedBatches, views: int, advance: Advance
    ) -> None:
        self._plan, self._batches = plan, batches
        self._views = [self._compute(view, advance) for view in range(views)]
        self._validation: dict[int, list[tuple[Half, Labels]]] = {}

    def _compute(self, view: int, advance: Advance) -> Half:
        size, count = self._plan.batch_size, len(self._plan.photos.train)
        chunks = [range(start, min(start + size, count)) for start in range(0, count, size)]
        kept: Half | None = None
        for chunk, inputs in zip(chunks, self._batches.views(chunks, view), strict=True):
            if kept is None:
                kept = empty((count, *inputs.shape[1:]))
            kept[chunk.start : chunk.stop] = inputs
            advance(len(chunk))
        assert kept is not None  # noqa: S101  (a run has at least one photo)
        return kept

    def train(self, epoch: int, skip: int) -> Iterator[Batch]:
        """Yield the batches of an epoch except its first `skip` batches."""
        inputs = self._views[epoch % len(self._views)]
        for indices in self._plan.epoch(epoch, skip):
            yield Batch(inputs[indices].astype(np.float32), self._plan.labels(indices))

    def validation(self, size: int) -> Iterator[Batch]:
        """Yield the batches of the held-out photos, in an input of `size` x `size` pixels."""
        if size not in self._validation:
            self._validation[size] = [
                (inputs.astype(np.float16), labels)
                for inputs, labels in self._batches.validation(size)
            ]
        for inputs, labels in self._validation[size]:
            yield Batch(inputs.astype(np.float32), labels)


def empty(shape: tuple[int, ...]) -> Half:
    """Return an array of half precision, in a temporary file if it would take much memory."""
    if 2 * math.prod(shape) <= _MAX_IN_MEMORY:
        return np.empty(shape, np.float16)
    # The file has no name, so the kernel deletes it at the latest when the process ends.
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, np.float16, "w+", shape=shape)


def epoch_order(photos: int, batch_size: int, key: tuple[int, ...]) -> list[list[int]]:
    """Return the batches of an epoch as indices of photos.

    Each photo comes once, in a random order that `key` seeds.
    """
    order = np.random.default_rng(key).permutation(photos).tolist()
    return [order[start : start + batch_size] for start in range(0, photos, batch_size)]
