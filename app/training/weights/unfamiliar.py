"""`weights unfamiliar`, and a part of `export`: a bundle learns to tell photos of other things."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from app.errors import StartupError
from app.host import granted_cores
from app.model import golden
from app.model.bundle import load_bundle
from app.model.engine import Engine
from app.model.features import FeatureNetwork
from app.model.unfamiliarity import UNFAMILIAR, Floats, Limit, distances, is_unfamiliar, means
from app.training.data.dataset import Sample, few
from app.training.data.holdout import Photos
from app.training.data.served import served
from app.training.network.converted import changed_copy, record

# The mean vector of a class comes from at most this many photos. More photos would hardly move it,
# but would take longer.
_MOST_OF_A_CLASS = 50
# This share of photos of the known classes is to be called familiar.
FAMILIAR = 0.98
_METHOD = "cosine distance to the mean of the likeliest class"
# An untrained network may give nearly equal vectors, whose distances are only rounding.
_LEAST_LIMIT = 1e-3


@dataclass(frozen=True)
class Fitted:
    """How well a bundle tells photos of its classes from others.

    Attributes:
        distance: the limit.
        learned_from: the photos that gave the classes' means.
        held_out: the photos of known classes that gave the limit.
        called_unfamiliar: the share of them that is beyond the limit.
        unfamiliarity: (held_out,), that of each of them.
    """

    distance: float
    learned_from: int
    held_out: int
    called_unfamiliar: float
    unfamiliarity: Floats

    def document(self) -> dict[str, Any]:
        """Return the numbers as plain data for JSON and YAML."""
        return {
            "learned_from": self.learned_from,
            "held_out": self.held_out,
            "called_unfamiliar": round(self.called_unfamiliar, 6),
        }


def add_unfamiliar(
    directory: Path, photos: Photos, max_pixels: int, before: Fitted | None = None
) -> Fitted:
    """Let the bundle in `directory` tell whether a photo shows none of its classes.

    Each class gets the mean direction of its training photos' vectors. The limit is the distance
    that `FAMILIAR` of the held-out photos keep.

    Args:
        directory: the bundle's path. A link stays a link.
        photos: photos of the bundle's classes. The network must not have learned from those that
            are held out: it knows its training photos too well.
        max_pixels: larger photos are refused.
        before: what an earlier network of the run gave, if this one has learned from the held-out
            photos after all; its limit is taken.

    Raises:
        BundleError: the bundle cannot be used.
        NoFeatures: its network does not end in a linear classifier.
        StartupError: a photo cannot be read, a class has none to learn from, or the bundle does not
            run with its new file.
    """
    seen = {sample.class_id for sample in photos.train}
    if lacking := [name for i, name in enumerate(photos.classes) if i not in seen]:
        raise StartupError(
            f"no photo to learn from of {few(lacking)}: each class of the bundle needs some, "
            "because photos of a class without any would be unfamiliar"
        )
    if not photos.validation:
        raise StartupError("no photo is held out: the limit of what is familiar needs some")
    with changed_copy(directory) as built:
        network = FeatureNetwork(load_bundle(built), threads=granted_cores())
        learned = _some_of_each_class(photos.train)
        vectors, scores = _seen(network, [sample.path for sample in learned], max_pixels)
        class_ids = np.array([sample.class_id for sample in learned])
        centres = means(vectors, class_ids, scores.shape[1])
        fitted = before or _fit(network, centres, photos, max_pixels)
        features = network(golden.drawn_picture(*network.bundle.preprocessing.crop)[np.newaxis])
        drawn = distances(centres, features.vectors, features.scores)
        limit = Limit(fitted.distance, 0)
        np.save(built / UNFAMILIAR, centres)
        row = {
            "method": _METHOD,
            "distance": fitted.distance,
            **fitted.document(),
            "golden": round(float(limit.unfamiliarity(drawn)[0]), 6),
        }
        record(built, [UNFAMILIAR], {"unfamiliar": row})
        # The engine compares its answer with the golden one.
        Engine(load_bundle(built))
    return fitted


def measure_others(
    directory: Path, paths: Sequence[Path], max_pixels: int, fitted: Fitted
) -> dict[str, Any]:
    """Return how well the bundle tells photos of other things from the held-out ones.

    The area under the ROC curve is the probability that a photo of other things is more
    unfamiliar than a held-out one; half of it if both are equal.

    Raises:
        StartupError: a photo cannot be read.
    """
    bundle = load_bundle(directory)
    engine = Engine(bundle, threads=granted_cores())
    found = []
    for pixels in served(paths, bundle.preprocessing, max_pixels):
        answers = engine.answer(pixels)
        assert answers.unfamiliarity is not None  # noqa: S101  (the bundle has just got its limit)
        found.append(answers.unfamiliarity)
    far = np.concatenate(found)
    margins = far[:, np.newaxis] - fitted.unfamiliarity  # (others, held out)
    return {
        "others": len(far),
        "others_called_unfamiliar": round(_share(far), 6),
        "auc": round(float((margins > 0).mean() + (margins == 0).mean() / 2), 6),
    }


def _fit(network: FeatureNetwork, centres: Floats, photos: Photos, max_pixels: int) -> Fitted:
    """Return the limit that the held-out photos give."""
    vectors, scores = _seen(network, [one.path for one in photos.validation], max_pixels)
    distance = _limit(far := distances(centres, vectors, scores))
    found = Limit(distance, 0).unfamiliarity(far)
    learned_from = len(_some_of_each_class(photos.train))
    return Fitted(distance, learned_from, len(far), _share(found), found)


def _share(unfamiliarity: Floats) -> float:
    """Return the share of photos that are called unfamiliar."""
    return float(np.mean([is_unfamiliar(each) for each in unfamiliarity.tolist()]))


def _limit(far: Floats) -> float:
    """Return a distance that a new photo of a known class keeps with the probability FAMILIAR.

    This is the split conformal bound (https://arxiv.org/abs/2107.07511). With fewer than 99
    held-out photos, it is the largest distance among them; with fewer than 49, a new photo keeps it
    with a smaller probability.
    """
    rank = min(len(far), int(np.ceil((len(far) + 1) * FAMILIAR)))
    bound = float(np.sort(far)[rank - 1])
    # The photo at the limit is familiar itself.
    return max(bound * 1.0001, _LEAST_LIMIT)


def _some_of_each_class(samples: Sequence[Sample]) -> list[Sample]:
    """Return all photos of a class, or some evenly spaced ones of many."""
    by_class: dict[int, list[Sample]] = {}
    for sample in samples:
        by_class.setdefault(sample.class_id, []).append(sample)
    chosen = []
    for of_class in by_class.values():
        count = min(len(of_class), _MOST_OF_A_CLASS)
        chosen += [of_class[i * len(of_class) // count] for i in range(count)]
    return chosen


def _seen(network: FeatureNetwork, paths: Sequence[Path], max_pixels: int) -> tuple[Floats, Floats]:
    """Return the vectors (N, K) and the scores (N, classes) of photos."""
    batches = served(paths, network.bundle.preprocessing, max_pixels)
    features = [network(pixels) for pixels in batches]
    return (
        np.concatenate([each.vectors for each in features]),
        np.concatenate([each.scores for each in features]),
    )
