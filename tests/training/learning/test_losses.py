"""The losses are compared with their definitions, written out in numpy."""

import numpy as np
import numpy.typing as npt
import paddle
import pytest

from app.training.learning.losses import Loss, balanced_weights

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(0, 2, (6, 4)).astype("float32")
LABELS = np.array([0, 1, 2, 3, 1, 1])
P = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)  # (6, 4)
P_T = P[np.arange(6), LABELS]  # (6,)


def loss(measure: Loss, logits: npt.NDArray[np.float32] = LOGITS) -> float:
    return float(measure(paddle.to_tensor(logits), paddle.to_tensor(LABELS)))


def test_cross_entropy() -> None:
    assert loss(Loss()) == pytest.approx(-np.log(P_T).mean(), rel=1e-5)


@pytest.mark.parametrize("epsilon", [-0.5, 1.0, 2.0])
def test_poly1_is_cross_entropy_and_epsilon_times_what_p_t_lacks(epsilon: float) -> None:
    expected = (-np.log(P_T) + epsilon * (1 - P_T)).mean()
    assert loss(Loss(epsilon)) == pytest.approx(expected, rel=1e-5)


def test_poly1_is_the_first_term_of_the_taylor_series_more() -> None:
    """-log p = sum of (1 - p)^j / j, and Poly-1 changes only the factor of the term j = 1."""
    terms = [(1 - P_T) ** j / j for j in range(1, 400)]
    # For smaller probabilities, 400 terms are not enough.
    near = P_T > 0.05
    series = np.sum([3 * terms[0], *terms[1:]], axis=0)
    for i in np.flatnonzero(near):
        logits, labels = paddle.to_tensor(LOGITS[i : i + 1]), paddle.to_tensor(LABELS[i : i + 1])
        assert float(Loss(2.0)(logits, labels)) == pytest.approx(series[i], rel=1e-4)
    assert near.sum() >= 3


@pytest.mark.parametrize("epsilon", [0.0, 1.0])
def test_smoothing_spreads_the_target(epsilon: float) -> None:
    target = np.eye(4)[LABELS] * 0.9 + 0.1 / 4
    expected = -(target * np.log(P)).sum(axis=1) + epsilon * (1 - (target * P).sum(axis=1))
    assert loss(Loss(epsilon, 0.1)) == pytest.approx(expected.mean(), rel=1e-5)


def test_a_class_weight_counts_as_so_many_photos() -> None:
    measure = Loss(class_weights=(1.0, 3.0, 1.0, 1.0))
    counts = np.array([1, 3, 1, 1, 3, 3])
    assert loss(measure) == pytest.approx(-(counts * np.log(P_T)).sum() / counts.sum(), rel=1e-5)


def test_balanced_weights_make_all_classes_count_alike() -> None:
    weights = balanced_weights(LABELS.tolist(), 4)
    counts = np.bincount(LABELS)
    assert np.allclose(weights * counts, len(LABELS) / 4)
    # Class 1 has no photo here, so its count is taken as 1 instead of 0.
    assert balanced_weights([0, 0], 2)[1] == 1.0
