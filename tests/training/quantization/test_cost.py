"""What 8 bits cost, computed from scores."""

import numpy as np
import pytest

from app.training.quantization.cost import Cost


def test_the_cost_of_known_scores() -> None:
    exact = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.5, 0.5]], np.float32)
    scores = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.5, 0.5]], np.float32)
    cost = Cost.measure(exact, scores, [0, 0, 1, 1])
    assert cost.photos == 4
    assert cost.agreement == 0.75
    assert cost.kl == pytest.approx(0.2 * np.log(1.5) / 4, abs=1e-6)
    assert (cost.top1_float32, cost.top1) == (0.75, 0.5)
    assert "75.0% have the same likeliest class" in str(cost)
    assert "top-1 50.0% instead of 75.0%" in str(cost)
    assert cost.document()["top1"] == 0.5


def test_without_labels_there_is_no_accuracy() -> None:
    scores = np.array([[0.9, 0.1], [0.0, 1.0]], np.float32)
    cost = Cost.measure(scores, scores)
    assert (cost.agreement, cost.kl, cost.top1) == (1, 0, None)
    assert set(cost.document()) == {"photos", "agreement", "kl", "between"}
    assert "top-1" not in str(cost)
