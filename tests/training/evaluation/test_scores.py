"""The metrics of an evaluation, compared with those of scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics
from sklearn.calibration import calibration_curve

from app.training.evaluation.accuracy import Scored

CLASSES = 7


@pytest.fixture(scope="module")
def evaluated() -> Scored:
    """A classifier that is often right; class 5 has no photos, and class 6 is never predicted."""
    rng = np.random.default_rng(0)
    truth = rng.choice([0, 1, 2, 3, 4, 6], 500)
    logits = rng.normal(size=(500, CLASSES)) + 2 * np.eye(CLASSES)[truth]
    logits[:, 6] -= 20
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return Scored(scores.astype(np.float32), truth)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_top_k(evaluated: Scored, count: int) -> None:
    expected = metrics.top_k_accuracy_score(
        evaluated.truth, evaluated.scores, k=count, labels=range(CLASSES)
    )
    assert evaluated.top(count) == pytest.approx(expected)


def test_the_first_of_equals_counts_as_in_an_answer() -> None:
    equal = np.full((2, 4), 0.25, np.float32)
    assert Scored(equal, np.array([0, 3])).top(1) == 0.5


def test_confusion(evaluated: Scored) -> None:
    expected = metrics.confusion_matrix(evaluated.truth, evaluated.predicted, labels=range(CLASSES))
    assert (evaluated.confusion() == expected).all()


def test_each_class(evaluated: Scored) -> None:
    expected = metrics.precision_recall_fscore_support(
        evaluated.truth, evaluated.predicted, labels=range(CLASSES), zero_division=0
    )
    for got, column in zip(evaluated.by_class(), expected, strict=True):
        assert got == pytest.approx(column)
    assert evaluated.by_class().photos[5] == evaluated.by_class().precision[6] == 0


def test_reliability(evaluated: Scored) -> None:
    right = evaluated.predicted == evaluated.truth
    expected = calibration_curve(right, evaluated.confidence, n_bins=10)
    reliability = evaluated.reliability(10)
    filled = reliability.photos > 0
    assert reliability.photos.sum() == len(right)
    assert reliability.accuracy[filled] == pytest.approx(expected[0])
    assert reliability.confidence[filled] == pytest.approx(expected[1])


def test_the_calibration_error_by_hand() -> None:
    scores = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [1.0, 0.0]], np.float32)
    evaluated = Scored(scores, np.array([0, 1, 1, 0]))
    # The gaps are 0.4 for the two photos of score 0.9, of which one is right, 0.4 for the photo of
    # score 0.6 and 0 for the photo of score 1.0. Their mean over the four photos is 0.3.
    assert evaluated.reliability().error == pytest.approx(0.3)


def test_the_surest_mistake_is_first() -> None:
    scores = np.array([[0.6, 0.4], [0.1, 0.9], [0.8, 0.2], [0.3, 0.7]], np.float32)
    assert Scored(scores, np.array([1, 1, 1, 0])).mistakes().tolist() == [2, 3, 0]


def test_scores_that_are_no_numbers_are_wrong() -> None:
    scores = np.full((2, 3), np.nan, np.float32)
    assert Scored(scores, np.array([0, 2])).top(1) == 0
