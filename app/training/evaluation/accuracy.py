"""Accuracy and related metrics of a classifier, from its scores and the true classes."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_BINS = 15


class ClassScores(NamedTuple):
    """Metrics by class, each (classes,); a metric is 0 if its denominator is 0."""

    precision: Floats
    recall: Floats
    f1: Floats
    photos: Ints


class Reliability(NamedTuple):
    """Accuracy by confidence, in bins of equal width, each (bins,).

    The confidence of a photo is the score of its likeliest class.

    Attributes:
        photos: the number of photos.
        confidence: the mean confidence; 0 in an empty bin.
        accuracy: the share of photos that are classified correctly; 0 in an empty bin.
    """

    photos: Ints
    confidence: Floats
    accuracy: Floats

    @property
    def error(self) -> float:
        """The expected calibration error, 0 to 1.

        It is the mean gap between confidence and accuracy, weighted by the number of photos.
        """
        gaps = np.abs(self.accuracy - self.confidence)
        return float((gaps * self.photos).sum() / self.photos.sum())


@dataclass(frozen=True)
class Scored:
    """A classifier's scores for photos whose true classes are known.

    Attributes:
        scores: (N, classes) probabilities, N > 0.
        truth: (N,) the true classes.
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
        """The number of classes that rank before the true one, (N,).

        Of classes with equal scores, the first ranks first, as in the server's answers.
        """
        own = self.scores[np.arange(len(self.truth)), self.truth][:, None]
        earlier = np.arange(self.scores.shape[1]) < self.truth[:, None]
        # `~(scores <= own)` is used instead of `scores > own`, because a network that has diverged
        # gives only NaN, and then no class would rank before the true one.
        ahead = ~(self.scores <= own) | ((self.scores == own) & earlier)
        return np.asarray(ahead.sum(axis=1))

    def top(self, count: int) -> float:
        """Return the share of photos whose true class is among the `count` likeliest."""
        return float((self.rank < count).mean())

    def confusion(self) -> Ints:
        """Return the confusion matrix, (classes, classes).

        A cell is the number of photos of the row's true class and the column's predicted class.
        """
        classes = self.scores.shape[1]
        cells = np.bincount(self.truth * classes + self.predicted, minlength=classes**2)
        return cells.reshape(classes, classes)

    def by_class(self) -> ClassScores:
        """Return each class's precision, recall and F1."""
        confusion = self.confusion()
        right, predicted, photos = confusion.diagonal(), confusion.sum(0), confusion.sum(1)
        return ClassScores(
            precision=right / np.maximum(predicted, 1),
            recall=right / np.maximum(photos, 1),
            f1=2 * right / np.maximum(predicted + photos, 1),
            photos=photos,
        )

    def reliability(self, bins: int = _BINS) -> Reliability:
        """Return the accuracy by confidence in this number of bins."""
        index = np.minimum((self.confidence * bins).astype(np.int64), bins - 1)  # (N,)
        photos = np.bincount(index, minlength=bins)
        confidence = np.bincount(index, self.confidence, bins)
        right = np.bincount(index, self.predicted == self.truth, bins)
        divisor = np.maximum(photos, 1)
        return Reliability(photos, confidence / divisor, right / divisor)

    def mistakes(self) -> Ints:
        """Return the indices of the wrongly classified photos, the highest confidence first."""
        wrong = np.flatnonzero(self.predicted != self.truth)
        return wrong[np.argsort(-self.confidence[wrong], kind="stable")]
