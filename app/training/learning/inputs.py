"""What a phase learns from: photos that are read, sent through the trunk and perhaps kept."""

import time
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from app.host import granted_cores
from app.training.data.dataset import Sample
from app.training.data.holdout import Photos
from app.training.data.loader import Loader
from app.training.learning.batches import (
    Batch,
    Batches,
    BatchPlan,
    CachedBatches,
    Shard,
    StreamedBatches,
)
from app.training.learning.budget import VIEWS
from app.training.learning.interruption import Interruption
from app.training.learning.phases import Phase
from app.training.network.freezing import Features, Trunk, trunk
from app.training.network.mobilenetv2 import MobileNetV2
from app.training.options import Recipe
from app.training.run.folder import Run
from app.training.run.progress import Display
from app.training.weights.pretrained import preprocessing

# The regression learns from no more photos than this, because their features lie in memory.
_MAX_FEATURES = 20_000


class RunContext(NamedTuple):
    """The objects that a run needs besides the network and the photos.

    Attributes:
        run: the run's folder.
        loader: reads photos in other processes.
        display: shows the progress on the terminal.
        shard: the part of each batch that this process learns from.
        interruption: its `check` raises after the user has pressed Ctrl-C.
        started: what `time.monotonic` returned at the start of the command.
    """

    run: Run
    loader: Loader
    display: Display
    shard: Shard
    interruption: Interruption
    started: float


class Inputs:
    """Makes the inputs of a run's phases.

    Attributes:
        sizes: the sizes of the network's input among which the run chooses, in pixels.
    """

    def __init__(self, network: MobileNetV2, photos: Photos, context: RunContext) -> None:
        self._network, self._photos, self._context = network, photos, context
        recipe = context.run.recipe
        self._options = recipe.options
        self.sizes = sizes(recipe)
        self._specs = {size: preprocessing(recipe, size) for size in self.sizes}
        self._trunk: tuple[int, Trunk] | None = None

    def features(self, phase: Phase) -> tuple[dict[int, Features], npt.NDArray[np.int64]]:
        """Return the trunk's output for training photos by size, (N, ...), and the labels (N,)."""
        batches, samples = self.streamed(phase), first_of_each(self._photos.train, _MAX_FEATURES)
        with self._context.display.bar("reading features", len(samples) * len(self.sizes)):
            features = {}
            for size in self.sizes:
                read = []
                for batch in batches.served(samples, size):
                    read.append(batch.inputs)
                    self._advance(len(batch.labels))
                features[size] = np.concatenate(read)
        return features, np.array([sample.class_id for sample in samples], np.int64)

    def batches(self, phase: Phase, key: int) -> Batches:
        """Return the batches of a phase; `key` seeds its order and its views."""
        streamed = self.streamed(phase, key)
        if not phase.frozen:
            return streamed
        views = min(VIEWS, phase.epochs) if self._options.augment else 1
        with self._context.display.bar("reading views", views * len(self._photos.train)):
            return CachedBatches(self._plan(key), streamed, views, self._advance)

    def streamed(self, phase: Phase, key: int = 0) -> StreamedBatches:
        """Return the batches of a phase without keeping them."""
        frozen = self._trunk_of(phase.frozen)
        return StreamedBatches(self._plan(key), self._context.loader, frozen, self._specs)

    def rehearse(self, phase: Phase) -> tuple[Batch, float]:
        """Return a batch, and the seconds that it takes to read it and to compute the trunk."""
        photos = list(range(min(self._options.batch_size, len(self._photos.train))))
        # The first batch takes longer, because memory and kernels are prepared for it.
        views = self.streamed(phase).views([photos] * 3, 0)
        next(views)
        started = time.monotonic()
        *_, inputs = views
        seconds = (time.monotonic() - started) / 2
        return Batch(inputs, np.zeros(len(photos), np.int64)), seconds

    def _trunk_of(self, frozen: int) -> Trunk:
        """Return the first `frozen` segments, which no phase of the run has changed."""
        if self._trunk is None or self._trunk[0] != frozen:
            device, spec = self._options.device, self._specs[self._options.size]
            made = trunk(self._network, frozen, spec, device, granted_cores())
            self._trunk = frozen, made
        return self._trunk[1]

    def _plan(self, key: int) -> BatchPlan:
        options, shard = self._options, self._context.shard
        return BatchPlan(self._photos, options.batch_size, (options.seed, key), shard)

    def _advance(self, photos: int) -> None:
        self._context.interruption.check()
        self._context.display.advance(photos)


def first_of_each(samples: Sequence[Sample], count: int) -> list[Sample]:
    """Return `count` photos: the first of each class, then the second, and so on.

    There are fewer if `samples` are fewer, and more if there are more classes.
    """
    if len(samples) <= count:
        return list(samples)
    seen: Counter[int] = Counter()
    turns = []
    for sample in samples:
        turns.append(seen[sample.class_id])
        seen[sample.class_id] += 1
    order = sorted(range(len(samples)), key=turns.__getitem__)
    return [samples[i] for i in sorted(order[: max(count, len(seen))])]


def sizes(recipe: Recipe) -> tuple[int, ...]:
    """Return the sizes of the network's input among which a run chooses, in pixels.

    A network that has learned from enlarged crops of photos often sees whole photos better if they
    are larger, too. Source: Touvron et al., "Fixing the train-test resolution discrepancy",
    https://arxiv.org/abs/1906.06423.
    """
    size = recipe.options.size
    return (size, size + 32, size + 64) if recipe.pretrained else (size,)
