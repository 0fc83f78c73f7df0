"""How good a classifier is, counted from its scores and the true classes."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_BINS = 15


class ClassScores(NamedTuple):
    """A figure a class, each (classes,); 0 where there is nothing to divide by."""

    precision: Floats
    recall: Floats
    f1: Floats
    photos: Ints


class Reliability(NamedTuple):
    """Photos by the score of their likeliest class, in bins of equal width, each (bins,).

    Attributes:
        photos: how many.
        confidence: their mean score; 0 in an empty bin.
        accuracy: the part of them that is right; 0 in an empty bin.
    """

    photos: Ints
    confidence: Floats
    accuracy: Floats

    @property
    def error(self) -> float:
        """The expected calibration error: how far confidence and accuracy lie apart, 0 to 1."""
        gaps = np.abs(self.accuracy - self.confidence)
        return float((gaps * self.photos).sum() / self.photos.sum())


@dataclass(frozen=True)
class Scored:
    """What a classifier said of photos whose classes are known.

    Attributes:
        scores: (N, classes) probabilities, N > 0.
        truth: (N,) the right classes.
    """

    scores: npt.NDArray[np.float32]
    truth: npt.NDArray[np.int64]

    @property
    def predicted(self) -> Ints:
        """The likeliest class of each photo, (N,)."""
        return np.asarray(self.scores.argmax(axis=1))

    @property
    def confidence(self) -> Floats:
        """The score of the likeliest class, (N,)."""
        return np.asarray(self.scores.max(axis=1), np.float64)

    @property
    def rank(self) -> Ints:
        """How many classes come before the right one, (N,); of equals the first, as in answers."""
        own = self.scores[np.arange(len(self.truth)), self.truth][:, None]
        earlier = np.arange(self.scores.shape[1]) < self.truth[:, None]
        # Not `>`: of a network that has diverged all are NaN, and none would come before.
        ahead = ~(self.scores <= own) | ((self.scores == own) & earlier)
        return np.asarray(ahead.sum(axis=1))

    def top(self, count: int) -> float:
        """Return the part of the photos whose class is among the `count` likeliest."""
        return float((self.rank < count).mean())

    def confusion(self) -> Ints:
        """Return (classes, classes): how many photos of the row's class got the column's."""
        classes = self.scores.shape[1]
        cells = np.bincount(self.truth * classes + self.predicted, minlength=classes**2)
        return cells.reshape(classes, classes)

    def by_class(self) -> ClassScores:
        """Return each class's precision, recall and F1."""
        confusion = self.confusion()
        right, predicted, there = confusion.diagonal(), confusion.sum(0), confusion.sum(1)
        return ClassScores(
            precision=right / np.maximum(predicted, 1),
            recall=right / np.maximum(there, 1),
            f1=2 * right / np.maximum(predicted + there, 1),
            photos=there,
        )

    def reliability(self, bins: int = _BINS) -> Reliability:
        """Return how sure it was and how often that was right."""
        place = np.minimum((self.confidence * bins).astype(np.int64), bins - 1)
        photos = np.bincount(place, minlength=bins)
        sure = np.bincount(place, self.confidence, bins)
        right = np.bincount(place, self.predicted == self.truth, bins)
        some = np.maximum(photos, 1)
        return Reliability(photos, sure / some, right / some)

    def mistakes(self) -> Ints:
        """Return the places of the wrong answers, those it was surest of first."""
        wrong = np.flatnonzero(self.predicted != self.truth)
        return wrong[np.argsort(-self.confidence[wrong], kind="stable")]
