"""The first classifier: a logistic regression as a linear layer."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from app.training.learning.regression import fit_regression, folds

RNG = np.random.default_rng(0)


def features(labels: list[int], distance: float, width: int = 5) -> np.ndarray:
    """Return random features, (N, width), whose means by class have this distance."""
    means = distance * np.eye(max(labels) + 1, width)
    return (means[labels] + RNG.normal(0, 1, (len(labels), width))).astype("float32")


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("balanced", [False, True])
def test_the_layer_gives_the_scores_of_scikit_learn(classes: int, balanced: bool) -> None:
    labels = [c for c in range(classes) for _ in range(10 + 10 * c)]
    x, y = features(labels, 2), np.array(labels)
    found = fit_regression({224: x}, y, 0, balanced=balanced)
    weight = "balanced" if balanced else None
    model = LogisticRegression(C=found.c, class_weight=weight, max_iter=300).fit(x, y)
    odds = np.exp(x @ found.weights + found.bias)
    scores = odds / odds.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(scores, model.predict_proba(x), atol=1e-3)
    assert 0.5 < found.top1 < 1


def test_cross_validation_chooses_the_size_whose_features_tell_more() -> None:
    labels = [0, 1, 2] * 20
    by_size = {224: features(labels, 1), 256: features(labels, 4), 288: features(labels, 2)}
    found = fit_regression(by_size, np.array(labels), 0)
    assert found.size == 256
    assert found.loss < 0.3
    # Without any information the strongest regularisation loses least.
    blind = fit_regression({224: features(labels, 0)}, np.array(labels), 0)
    assert blind.c == 0.01
    assert blind.loss == pytest.approx(np.log(3), abs=0.1)


def test_every_class_is_spread_over_the_folds() -> None:
    labels = np.array([0] * 13 + [1] * 5 + [2] * 2 + [3])
    fold = folds(labels, 0)
    assert sorted(np.bincount(fold[labels == 0])) == [2, 2, 3, 3, 3]
    assert sorted(fold[labels == 1]) == [0, 1, 2, 3, 4]
    assert len(set(fold[labels == 2])) == 2
    assert fold[-1] == -1
    assert not np.array_equal(fold, folds(labels, 1))


def test_classes_of_one_photo_are_learned() -> None:
    found = fit_regression({32: features([0, 1, 2], 5)}, np.arange(3), 0)
    assert found.weights.shape == (5, 3)
    assert (found.loss, found.top1) == (0, 0)
    mixed = [0] * 10 + [1] * 10 + [2]
    found = fit_regression({32: features(mixed, 20)}, np.array(mixed), 0)
    assert found.top1 == 1
