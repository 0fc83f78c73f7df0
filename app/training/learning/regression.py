"""A logistic regression on the frozen network's features, which gives the first classifier.

Cross-validation chooses the size of the network's input and the strength of the regularisation.
"""

import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from app.training.learning.losses import balanced_weights
from app.training.network.freezing import Features

Labels = npt.NDArray[np.int64]  # (N,)
Floats = npt.NDArray[np.float32]

_FOLDS = 5
# The inverse strengths of the regularisation, scikit-learn's C, the strongest first.
_STRENGTHS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)


class Regression(NamedTuple):
    """A fitted logistic regression: logits = features @ weights + bias.

    Attributes:
        size: the width and the height of the network's input in pixels.
        c: the inverse strength of the regularisation.
        loss: the cross-validated mean cross-entropy.
        top1: the cross-validated accuracy, 0 to 1.
        weights: (features, classes).
        bias: (classes,).
    """

    size: int
    c: float
    loss: float
    top1: float
    weights: Floats
    bias: Floats


def fit_regression(
    features: Mapping[int, Features], labels: Labels, seed: int, *, balanced: bool = False
) -> Regression:
    """Return the regression with the lowest cross-validated loss.

    Args:
        features: (N, features) of the same photos for each size of the input.
        labels: (N,) the true classes; each class has a photo.
        seed: divides the photos into folds.
        balanced: whether every class counts the same instead of every photo.
    """
    fold = folds(labels, seed)
    tried = {
        (size, c): _validated(x, labels, fold, c, balanced=balanced)
        for size, x in features.items()
        for c in _STRENGTHS
    }
    size, c = min(tried, key=lambda key: tried[key])
    model = _fit(features[size], labels, c, balanced=balanced)
    weights, bias = _as_layer(model)
    return Regression(size, c, *tried[size, c], weights, bias)


def folds(labels: Labels, seed: int) -> npt.NDArray[np.int64]:
    """Return the fold of each photo, (N,); every class is spread over the folds.

    The only photo of a class has fold -1: it is always learned from and never validated on.
    """
    rng = np.random.default_rng((seed, len(labels)))
    fold = np.full(len(labels), -1)
    for class_id in np.unique(labels):
        photos = rng.permutation(np.flatnonzero(labels == class_id))
        if len(photos) > 1:
            fold[photos] = (np.arange(len(photos)) + rng.integers(_FOLDS)) % _FOLDS
    return fold


def _validated(
    features: Features, labels: Labels, fold: npt.NDArray[np.int64], c: float, *, balanced: bool
) -> tuple[float, float]:
    """Return the mean cross-entropy and the accuracy of photos that were not learned from."""
    known = fold >= 0
    if not known.any():
        return 0.0, 0.0
    log_p = np.zeros((len(labels), labels.max() + 1))
    for held_out in np.unique(fold[known]):
        tested = fold == held_out
        model = _fit(features[~tested], labels[~tested], c, balanced=balanced)
        log_p[tested] = model.predict_log_proba(features[tested])  # (M, classes)
    losses, right = -log_p[np.arange(len(labels)), labels], log_p.argmax(axis=1) == labels
    factors = np.array(balanced_weights(labels, log_p.shape[1]))[labels] if balanced else known
    return _mean(losses, factors * known), _mean(right, factors * known)


def _mean(values: npt.NDArray[Any], factors: npt.NDArray[Any]) -> float:
    return float(np.average(values, weights=factors))


def _fit(features: Features, labels: Labels, c: float, *, balanced: bool) -> LogisticRegression:
    model = LogisticRegression(C=c, class_weight="balanced" if balanced else None, max_iter=300)
    with warnings.catch_warnings():
        # After 300 steps the last digits of the weights do not matter.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(features, labels)


def _as_layer(model: LogisticRegression) -> tuple[Floats, Floats]:
    """Return the weights (features, classes) and the bias (classes,) of a linear layer."""
    weights, bias = model.coef_.T, model.intercept_
    if len(model.classes_) == 2:
        # For two classes scikit-learn keeps only the difference of their logits.
        weights, bias = (
            np.concatenate([-weights, weights], axis=1) / 2,
            np.array([-1, 1]) * bias / 2,
        )
    return weights.astype(np.float32), bias.astype(np.float32)
