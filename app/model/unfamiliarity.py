"""How unfamiliar a photo is to a model: how unlike the photos of the class that the model names.

The model's classifier gets a vector for each photo. The cosine distance between this vector and
the mean vector of the likeliest class says how unlike that class the photo is. Sources: Lee et al.,
"A Simple Unified Framework for Detecting Out-of-Distribution Samples and Adversarial Attacks",
https://arxiv.org/abs/1807.03888, take distances from the means of the classes; Müller and Hein,
"Mahalanobis++", https://arxiv.org/abs/2505.18032, scale the vectors to length 1 first. Both also
divide by a covariance, which did not help here: docs/train.md has the comparison.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from app.errors import BundleError, StartupError
from app.settings import FLOAT32, EngineName

Floats = npt.NDArray[np.float32]

# The file of the classes' mean vectors.
UNFAMILIAR = "unfamiliar.npy"
# A photo with this unfamiliarity or more is called unfamiliar.
BOUND = 0.5
_TINY = np.finfo(np.float32).tiny
# Rounding changes the golden answer by less than this; 8 bits and bfloat16 round more coarsely.
_TOLERANCE, _COARSE_TOLERANCE = 5e-3, 0.1


@dataclass(frozen=True)
class Limit:
    """How far from the known classes a photo may be, as a bundle records it.

    Attributes:
        distance: the distance at which a photo has the unfamiliarity 0.5.
        golden: the unfamiliarity of the drawn picture.
    """

    distance: float
    golden: float

    @classmethod
    def parse(cls, record: Any) -> Self:  # noqa: ANN401  (YAML)
        """Return the limit from a bundle's record.

        Raises:
            BundleError: the record does not have the known form.
        """
        try:
            limit = cls(float(record["distance"]), float(record["golden"]))
        except (KeyError, OverflowError, TypeError, ValueError) as error:
            raise BundleError("Provenance.unfamiliar is not readable") from error
        if not 0 < limit.distance <= 2:
            raise BundleError("Provenance.unfamiliar: the distance must lie between 0 and 2")
        return limit

    def unfamiliarity(self, distances: Floats) -> Floats:
        """Return a number from 0 to 1 for each distance (N,): 0.5 at the limit."""
        return np.asarray(distances / (distances + self.distance), np.float32)

    def agrees(self, unfamiliarity: float, engine: EngineName) -> bool:
        """Return whether that of the drawn picture differs from `golden` by rounding at most."""
        tolerance = _TOLERANCE if engine in FLOAT32 else _COARSE_TOLERANCE
        return abs(unfamiliarity - self.golden) <= tolerance


def is_unfamiliar(unfamiliarity: float) -> bool:
    """Return whether a photo of this unfamiliarity shows none of the model's classes."""
    return unfamiliarity >= BOUND


def read_centres(directory: Path) -> Floats:
    """Return the mean vectors (classes, K) of a bundle's classes.

    Raises:
        StartupError: the bundle's file of them cannot be read.
    """
    file = directory / UNFAMILIAR
    try:
        centres = np.load(file, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise StartupError(f"{file} cannot be read") from error
    if centres.ndim != 2 or centres.dtype != np.float32:
        raise StartupError(f"{file} does not hold the mean vectors of classes")
    return np.asarray(centres, np.float32)


def means(vectors: Floats, classes: npt.NDArray[np.int64], count: int) -> Floats:
    """Return the mean directions (count, K) of the vectors (N, K) of each class.

    A class without a vector gets zeros, which are at the distance 1 of all photos.

    Args:
        vectors: what the classifier gets for each photo.
        classes: (N,), the photos' classes.
        count: the number of classes.
    """
    sums = np.zeros((count, vectors.shape[1]), np.float32)
    np.add.at(sums, classes, _normalized(vectors))
    return _normalized(sums)


def distances(centres: Floats, vectors: Floats, scores: Floats) -> Floats:
    """Return the cosine distance (N,) of each vector from the mean of its likeliest class.

    A worker's caches hold nothing of this after the network has run, so few operations matter more
    than few multiplications.

    Args:
        centres: (classes, K), the classes' mean directions.
        vectors: (N, K), what the classifier gets for each photo.
        scores: (N, classes), what the classifier gives for them.
    """
    cosines = (vectors * centres[scores.argmax(axis=1)]).sum(axis=1)
    lengths = np.sqrt((vectors * vectors).sum(axis=1))
    return np.asarray(np.maximum(0, 1 - cosines / np.maximum(lengths, _TINY)), np.float32)


def _normalized(vectors: Floats) -> Floats:
    """Return vectors (N, K) of length 1; those without a length stay zeros."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, _TINY), np.float32)
