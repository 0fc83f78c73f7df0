"""Finds photos whose label is probably wrong, by a classifier that has not seen them.

Logistic regression on the features of a trained network is fitted five times, each time without a
fifth of the photos, which it then classifies. This follows confident learning (Northcutt, Jiang and
Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels", 2021) with one threshold for
all classes. It is done twice: the second time, nothing is learned from photos named the first time.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

_FOLDS = 5
# Classes with fewer photos, copies counted once, cannot be learned without a fifth of them.
LEAST_PHOTOS = 5
# A label is suspected if the classifier gives it less than this probability. Among 442 photos of
# 17 classes with a tenth of wrong labels, 98 % of these were found, and 93 % of those named were
# wrong.
_MOST_PROBABLE = 0.1
# The features of a photo become a vector of this length. With it, the usual strength of
# regularisation, 1, is about the best.
_LENGTH = 6.0


class Suspect(NamedTuple):
    """A photo whose label is probably wrong.

    Attributes:
        number: which of the photos it is.
        label: the class to which it probably belongs.
        score: the probability of that class.
    """

    number: int
    label: str
    score: float


def suspects(
    features: npt.NDArray[np.float32], labels: Sequence[str], contents: Sequence[str]
) -> list[Suspect]:
    """Return the photos whose labels are probably wrong, the surest first.

    Args:
        features: (N, K), what the network sees in each photo.
        labels: the names of the photos' classes.
        contents: near-duplicates have the same content, and are never learned from and classified
            at the same time.

    Raises:
        ModuleNotFoundError: scikit-learn is not installed.
    """
    known = _learnable(labels, contents)
    numbers = [number for number, label in enumerate(labels) if label in known]
    if len(known) < 2:
        return []
    names = sorted(known)
    classes = np.array([names.index(labels[number]) for number in numbers])
    lengths = np.linalg.norm(features[numbers], axis=1, keepdims=True)
    vectors = _LENGTH * features[numbers] / np.maximum(lengths, np.finfo(np.float32).tiny)
    folds = _folds([(labels[i], contents[i]) for i in numbers])
    named = np.zeros(len(numbers), bool)
    for _ in range(2):
        shares = _held_out_shares(vectors, classes, folds, _trusted(named, classes))
        own = shares[np.arange(len(numbers)), classes]
        best = shares.argmax(axis=1)
        named = (own < _MOST_PROBABLE) & (best != classes)
    order = np.flatnonzero(named)[np.argsort((own - shares.max(axis=1))[named], kind="stable")]
    return [Suspect(numbers[i], names[best[i]], float(shares[i, best[i]])) for i in order]


def too_small(labels: Sequence[str], contents: Sequence[str]) -> list[str]:
    """Return the classes in which `suspects` does not look, because they have too few photos."""
    return sorted(set(labels) - _learnable(labels, contents))


def _learnable(labels: Sequence[str], contents: Sequence[str]) -> set[str]:
    counts = Counter(label for label, _ in set(zip(labels, contents, strict=True)))
    return {label for label, count in counts.items() if count >= LEAST_PHOTOS}


def _folds(photos: Sequence[tuple[str, str]]) -> npt.NDArray[np.intp]:
    """Return the fold of each (label, content): each fold has the same share of every class.

    The order of the contents, which are hashes, is as good as random and the same everywhere.
    """
    content_folds: dict[str, int] = {}
    for _, content in sorted(set(photos)):
        content_folds.setdefault(content, len(content_folds) % _FOLDS)
    return np.array([content_folds[content] for _, content in photos])


def _trusted(named: npt.NDArray[np.bool_], classes: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
    """Return which photos to learn from: those not named, but of a class mostly named all."""
    mostly = np.bincount(classes, named) > np.bincount(classes) / 2
    return np.asarray(~named | mostly[classes])


def _held_out_shares(
    vectors: npt.NDArray[np.float32],
    classes: npt.NDArray[np.intp],
    folds: npt.NDArray[np.intp],
    trusted: npt.NDArray[np.bool_],
) -> npt.NDArray[np.float64]:
    """Return the probabilities (N, classes), each by a classifier that has not seen the photo."""
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415  (takes a second)

    shares = np.zeros((len(vectors), classes.max() + 1))
    for fold in range(_FOLDS):
        learned, asked = trusted & (folds != fold), folds == fold
        classifier = LogisticRegression(max_iter=1000, tol=1e-3)
        classifier.fit(vectors[learned], classes[learned])
        shares[np.ix_(asked, classifier.classes_)] = classifier.predict_proba(vectors[asked])
    return shares
