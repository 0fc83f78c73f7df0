"""What a phase of training learns from: batches of what the trunk makes of the photos."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from app.training.data.dataset import Sample
from app.training.data.holdout import Photos
from app.training.data.loader import Loader, View
from app.training.network.freezing import Planes, Trunk

Advance = Callable[[int], object]


class Batch(NamedTuple):
    """Inputs of the tail (N, ...) float32 and right classes (N,) int64."""

    inputs: Planes
    labels: npt.NDArray[np.int64]


class Shard(NamedTuple):
    """One process's part of each batch, where several train together."""

    rank: int = 0
    world: int = 1

    def of(self, batch: list[int]) -> list[int]:
        """Return its photos; at least one, as all must take the same steps."""
        return batch[self.rank :: self.world] or batch[:1]


class Batches(Protocol):
    """Where a phase's batches come from."""

    def train(self, epoch: int, skip: int) -> Iterator[Batch]:
        """Yield the batches of an epoch without its first `skip`."""

    def validation(self) -> Iterator[Batch]:
        """Yield the photos that are held out."""


class BatchPlan(NamedTuple):
    """Which photos come when; `key` tells this phase's lots from those of others."""

    photos: Photos
    batch_size: int
    key: tuple[int, ...]
    share: Shard

    def epoch(self, epoch: int, skip: int) -> list[list[int]]:
        """Return the batches, as places in `photos.train`."""
        batches = epoch_order(len(self.photos.train), self.batch_size, (*self.key, epoch))
        return [self.share.of(batch) for batch in batches[skip:]]

    def labels(self, places: Sequence[int]) -> npt.NDArray[np.int64]:
        """Return the right classes (N,)."""
        return np.array([self.photos.train[i].class_id for i in places], np.int64)


class StreamedBatches:
    """Photos seen anew in every epoch, through the trunk."""

    def __init__(self, plan: BatchPlan, loader: Loader, trunk: Trunk) -> None:
        self._plan, self._loader, self._trunk = plan, loader, trunk

    def train(self, epoch: int, skip: int) -> Iterator[Batch]:
        """Yield the batches of an epoch without its first `skip`."""
        batches = self._plan.epoch(epoch, skip)
        for places, inputs in zip(batches, self.views(batches, epoch), strict=True):
            yield Batch(inputs, self._plan.labels(places))

    def views(self, batches: Sequence[Sequence[int]], epoch: int) -> Iterator[Planes]:
        """Yield what the trunk makes of photos as they are seen in this epoch."""
        samples, key = self._plan.photos.train, (*self._plan.key, epoch)
        views = ([View(samples[i].path, (*key, i)) for i in places] for places in batches)
        yield from map(self._trunk, self._loader.read(views))

    def validation(self) -> Iterator[Batch]:
        """Yield the photos that are held out, as the server sees them."""
        size, samples = self._plan.batch_size, self._plan.photos.validation
        chunks = [samples[start : start + size] for start in range(0, len(samples), size)]
        views = ([View(sample.path) for sample in chunk] for chunk in chunks)
        for chunk, images in zip(chunks, self._loader.read(views), strict=True):
            yield Batch(self._trunk(images), _labels(chunk))


class CachedFeatures:
    """A stream's photos seen a few times and kept: for a trunk that is the whole backbone.

    Epoch e learns from view e modulo `views`.
    """

    def __init__(
        self, plan: BatchPlan, stream: StreamedBatches, views: int, advance: Advance
    ) -> None:
        self._plan = plan
        self._views = [self._look(stream, view, advance) for view in range(views)]
        self._validation = list(stream.validation())

    def _look(self, stream: StreamedBatches, view: int, advance: Advance) -> Planes:
        size, count = self._plan.batch_size, len(self._plan.photos.train)
        batches = [range(start, min(start + size, count)) for start in range(0, count, size)]
        features = []
        for batch in stream.views(batches, view):
            features.append(batch)
            advance(len(batch))
        return np.concatenate(features)

    def train(self, epoch: int, skip: int) -> Iterator[Batch]:
        """Yield the batches of an epoch without its first `skip`."""
        features = self._views[epoch % len(self._views)]
        for places in self._plan.epoch(epoch, skip):
            yield Batch(features[places], self._plan.labels(places))

    def validation(self) -> Iterator[Batch]:
        """Yield the photos that are held out."""
        yield from self._validation


def _labels(samples: Sequence[Sample]) -> npt.NDArray[np.int64]:
    return np.array([sample.class_id for sample in samples], np.int64)


def epoch_order(photos: int, batch_size: int, key: tuple[int, ...]) -> list[list[int]]:
    """Return the batches of an epoch as places of photos: each once, in an order drawn by `key`."""
    order = np.random.default_rng(key).permutation(photos).tolist()
    return [order[start : start + batch_size] for start in range(0, photos, batch_size)]
