"""Wrong labels are found by a classifier that has not learned from them."""

import hashlib

import numpy as np
import numpy.typing as npt
import pytest

from app.training.quality.wrong_labels import suspects, too_small

Features = npt.NDArray[np.float32]
NAMES = ["apple", "bear", "cup", "dog"]


def data_set(photos: int = 60, spread: float = 1.0) -> tuple[Features, list[str], list[str]]:
    """Return features, labels and contents: a cloud of points for each class."""
    random = np.random.default_rng(0)
    labels = [name for name in NAMES for _ in range(photos)]
    centres = random.normal(0, 1, (len(NAMES), 32))
    noise = random.normal(0, spread, (len(labels), 32))
    features = (np.repeat(centres, photos, axis=0) + noise).astype(np.float32)
    contents = [hashlib.sha256(str(i).encode()).hexdigest() for i in range(len(labels))]
    return features, labels, contents


def test_a_tenth_of_wrong_labels_is_found() -> None:
    features, labels, contents = data_set()
    random = np.random.default_rng(1)
    wrong = set(random.permutation(len(labels))[: len(labels) // 10].tolist())
    given = [
        str(random.choice([name for name in NAMES if name != label])) if i in wrong else label
        for i, label in enumerate(labels)
    ]
    found = suspects(features, given, contents)
    named = {suspect.number for suspect in found}
    assert len(named & wrong) >= 0.9 * len(wrong)
    assert len(named & wrong) >= 0.65 * len(named)
    # The surest come first, and the classes that they are said to be are the right ones.
    assert {suspect.number for suspect in found[:10]} <= wrong
    assert all(suspect.label == labels[suspect.number] for suspect in found[:10])


def test_of_right_labels_few_are_suspected() -> None:
    assert len(suspects(*data_set())) <= 2


def test_a_copy_does_not_vouch_for_a_wrong_label() -> None:
    features, labels, contents = data_set()
    # Ten copies of one photo of an apple are all called dogs.
    features[1:10] = features[0]
    labels[:10] = ["dog"] * 10
    assert not {suspect.number for suspect in suspects(features, labels, contents)} >= set(
        range(10)
    )
    contents[:10] = [contents[0]] * 10
    found = {suspect.number: suspect for suspect in suspects(features, labels, contents)}
    assert found.keys() >= set(range(10))
    assert found[0].label == "apple"


def test_small_classes_are_not_judged() -> None:
    features, labels, contents = data_set()
    labels[:4] = ["fig"] * 4
    labels[4:10], contents[4:10] = ["grape"] * 6, ["the same"] * 6
    assert too_small(labels, contents) == ["fig", "grape"]
    labels[20] = "dog"
    assert [suspect.number for suspect in suspects(features, labels, contents)] == [20]


@pytest.mark.parametrize("label", ["apple", None])
def test_fewer_than_two_classes_have_no_wrong_labels(label: str | None) -> None:
    features, _, contents = data_set(3)
    labels = [label or f"class {i}" for i in range(len(contents))]
    assert suspects(features, labels, contents) == []
