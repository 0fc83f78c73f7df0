"""The fitted temperature is the one with which the logits were made."""

import numpy as np
import paddle
import pytest
from networks import small_network

from app.training.evaluation.temperature import fit_temperature
from app.training.network.folding import divide_logits


@pytest.mark.parametrize("true", [0.5, 1.0, 3.0])
def test_a_known_temperature_is_found_again(true: float) -> None:
    rng = np.random.default_rng(0)
    honest = rng.normal(0, 2, (4000, 5))
    p = np.exp(honest) / np.exp(honest).sum(axis=1, keepdims=True)
    labels = np.array([rng.choice(5, p=row) for row in p])
    constants = rng.normal(0, 9, (4000, 1))
    logits = (honest * true + constants).astype("float32")
    assert fit_temperature(logits, labels) == pytest.approx(true, rel=0.08)


def test_where_every_photo_is_right_it_is_still_no_certainty() -> None:
    logits = np.eye(3, dtype="float32").repeat(10, axis=0) * 4
    labels = np.arange(3).repeat(10)
    scaled = logits / fit_temperature(logits, labels)
    scores = np.exp(scaled) / np.exp(scaled).sum(axis=1, keepdims=True)
    # As Jeffreys' prior says of a share: half a wrong answer among 30 right ones and this one.
    assert scores.max() == pytest.approx(30.5 / 31, abs=3e-3)


def test_few_photos_make_the_scores_neither_shy_nor_bold() -> None:
    rng = np.random.default_rng(0)
    # Half of the photos are easy, as photos of a good classifier are.
    honest = rng.normal(0, 1, (2000, 10)) + np.eye(10)[0] * rng.choice([3, 12], (2000, 1))
    p = np.exp(honest) / np.exp(honest).sum(axis=1, keepdims=True)
    gaps = []
    for few in rng.permutation(2000).reshape(-1, 50):
        labels = np.array([rng.choice(10, p=row) for row in p[few]])
        scaled = honest / fit_temperature(honest[few].astype("float32") / 2, labels) / 2
        scores = np.exp(scaled) / np.exp(scaled).sum(axis=1, keepdims=True)
        gaps.append(scores.max(axis=1).mean() - p.max(axis=1).mean())
    assert abs(np.mean(gaps)) < 0.01


def test_the_last_layer_takes_the_temperature_in() -> None:
    network = small_network()
    x = paddle.to_tensor(np.random.default_rng(0).normal(size=(2, 3, 64, 64)), "float32")
    with paddle.no_grad():
        before = network(x).numpy()
        divide_logits(network.out, 2.5)
        np.testing.assert_allclose(network(x).numpy(), before / 2.5, atol=1e-5)
