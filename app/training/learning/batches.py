"""The batches that a phase of training learns from: the trunk's output for photos, with labels."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from app.training.data.dataset import Sample
from app.training.data.holdout import Photos
from app.training.data.loader import Loader, View
from app.training.network.freezing import Features, Trunk

Advance = Callable[[int], object]


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

    def validation(self) -> Iterator[Batch]:
        """Yield the batches of the held-out photos."""


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
    """Batches that are read from disk and sent through the trunk anew in every epoch."""

    def __init__(self, plan: BatchPlan, loader: Loader, trunk: Trunk) -> None:
        self._plan, self._loader, self._trunk = plan, loader, trunk

    def train(self, epoch: int, skip: int) -> Iterator[Batch]:
        """Yield the batches of an epoch except its first `skip` batches."""
        batches = self._plan.epoch(epoch, skip)
        for indices, inputs in zip(batches, self.features(batches, epoch), strict=True):
            yield Batch(inputs, self._plan.labels(indices))

    def features(self, batches: Sequence[Sequence[int]], epoch: int) -> Iterator[Features]:
        """Yield the trunk's output for each batch, with the random views of this epoch.

        Args:
            batches: indices of `photos.train`.
            epoch: the epoch's number, which seeds the random views.
        """
        samples, key = self._plan.photos.train, (*self._plan.key, epoch)
        views = ([View(samples[i].path, (*key, i)) for i in indices] for indices in batches)
        yield from map(self._trunk, self._loader.read(views))

    def validation(self) -> Iterator[Batch]:
        """Yield the batches of the held-out photos, preprocessed as the server does it."""
        size, samples = self._plan.batch_size, self._plan.photos.validation
        chunks = [samples[start : start + size] for start in range(0, len(samples), size)]
        views = ([View(sample.path) for sample in chunk] for chunk in chunks)
        for chunk, images in zip(chunks, self._loader.read(views), strict=True):
            yield Batch(self._trunk(images), _labels(chunk))


class CachedFeatures:
    """Batches of features that are computed once and kept in memory.

    They serve a phase in which the trunk is the whole backbone. Each photo is kept in `views`
    random views, and epoch e learns from view e modulo `views`.

    Args:
        plan: which photos make up which batch.
        batches: computes the features.
        views: random views of each photo.
        advance: is called with the number of photos after each batch of features.
    """

    def __init__(
        self, plan: BatchPlan, batches: StreamedBatches, views: int, advance: Advance
    ) -> None:
        self._plan = plan
        self._views = [self._compute(batches, view, advance) for view in range(views)]
        self._validation = list(batches.validation())

    def _compute(self, batches: StreamedBatches, view: int, advance: Advance) -> Features:
        size, count = self._plan.batch_size, len(self._plan.photos.train)
        chunks = [range(start, min(start + size, count)) for start in range(0, count, size)]
        features = []
        for chunk in batches.features(chunks, view):
            features.append(chunk)
            advance(len(chunk))
        return np.concatenate(features)

    def train(self, epoch: int, skip: int) -> Iterator[Batch]:
        """Yield the batches of an epoch except its first `skip` batches."""
        features = self._views[epoch % len(self._views)]
        for indices in self._plan.epoch(epoch, skip):
            yield Batch(features[indices], self._plan.labels(indices))

    def validation(self) -> Iterator[Batch]:
        """Yield the batches of the held-out photos."""
        yield from self._validation


def _labels(samples: Sequence[Sample]) -> npt.NDArray[np.int64]:
    return np.array([sample.class_id for sample in samples], np.int64)


def epoch_order(photos: int, batch_size: int, key: tuple[int, ...]) -> list[list[int]]:
    """Return the batches of an epoch as indices of photos.

    Each photo comes once, in a random order that `key` seeds.
    """
    order = np.random.default_rng(key).permutation(photos).tolist()
    return [order[start : start + batch_size] for start in range(0, photos, batch_size)]
