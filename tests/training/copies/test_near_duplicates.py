"""Copies of photos are found, and photos that only look alike are no copies."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from photo_copies import NAMES, again, cropped, mirrored, photo, resized, scene, stack
from PIL import Image

from app.training.copies.alignment import likeness
from app.training.copies.crop_guesses import guesses
from app.training.copies.fingerprint import fingerprint
from app.training.copies.near_duplicates import components, pairs_by_features, pairs_by_hash

Copy = Callable[[Image.Image], Image.Image]
PAIR = np.array([[0, 1]])
SIMPLE: dict[str, Copy] = {
    "encoded again": lambda picture: picture,
    "halved": lambda picture: resized(picture, 0.5),
    "enlarged": lambda picture: resized(picture, 1.5),
    "mirrored": mirrored,
    "mirrored and resized": lambda picture: resized(mirrored(picture), 0.7),
}
CROPS: dict[str, Copy] = {
    "a little": lambda picture: cropped(picture, 0.02, 0.03, 0.02, 0.04),
    "a tenth a side": lambda picture: cropped(picture, 0.1, 0.1, 0.1, 0.1),
    "on one side": lambda picture: cropped(picture, 0.0, 0.0, 0.1, 0.05),
    "and mirrored": lambda picture: mirrored(cropped(picture, 0.08, 0.03, 0.05, 0.09)),
}


@pytest.mark.parametrize("copy", SIMPLE.values(), ids=SIMPLE.keys())
def test_a_hash_finds_copies_and_nothing_else(copy: Copy, tmp_path: Path) -> None:
    originals = [photo(name) for name in NAMES]
    copies = [again(copy(original), tmp_path) for original in originals]
    pairs = pairs_by_hash([fingerprint(small) for small in stack(originals + copies)])
    assert pairs.tolist() == [[i, i + len(NAMES)] for i in range(len(NAMES))]


@pytest.mark.parametrize("copy", [*SIMPLE.values(), *CROPS.values()], ids=[*SIMPLE, *CROPS])
def test_crops_are_like_the_whole_photo_either_way_round(copy: Copy, tmp_path: Path) -> None:
    originals = [photo(name) for name in NAMES]
    copies = [again(copy(original), tmp_path) for original in originals]
    thumbnails, count = stack(originals + copies), len(NAMES)
    wholes = np.arange(count)
    assert likeness(thumbnails, np.stack([wholes, wholes + count], axis=1)).min() > 0.6
    assert likeness(thumbnails, np.stack([wholes + count, wholes], axis=1), threads=2).min() > 0.6
    # Nothing is like the copy of another photo.
    others = np.stack([wholes, np.roll(wholes, 1) + count], axis=1)
    assert likeness(thumbnails, others).max() < 0.3


def test_two_views_of_a_thing_are_two_photos() -> None:
    views = stack([photo("motorcycle_left.png"), photo("motorcycle_right.png")])
    assert likeness(views, PAIR).max() < 0.5


@pytest.mark.parametrize("side", [72, 100, 217, 500])
def test_a_mirrored_photo_has_the_mirrored_thumbnail(side: int) -> None:
    """Fine textures show it: a filter that takes more from one side makes other pixels of them."""
    texture = np.random.default_rng(0).integers(0, 256, (90, side, 3), np.uint8)
    picture = Image.fromarray(texture)
    upright, turned = stack([picture, mirrored(picture)])
    assert np.array_equal(turned, upright[:, ::-1])


def test_few_of_many_pairs_are_laid_on_top_of_each_other() -> None:
    pictures = [scene(seed) for seed in range(60)]
    pictures[40] = mirrored(cropped(pictures[7], 0.08, 0.03, 0.1, 0.05))
    pairs = np.stack(np.triu_indices(60, 1), axis=1)
    guessed = guesses(stack(pictures), pairs)
    found = np.flatnonzero((guessed.pairs == (7, 40)).all(axis=1))
    assert len(found) == 1
    assert guessed.mirrored[found].tolist() == [True]
    # The right side of the mirrored crop is the left side of the photo.
    assert np.abs(guessed.edges[found] - (0.08, 0.9, 0.03, 0.95)).max() < 0.035
    assert len(guessed.rows) < len(pairs) / 50


def test_photos_with_similar_features_are_compared() -> None:
    pictures = [scene(seed) for seed in range(30)]
    pictures[17] = cropped(pictures[4], 0.06, 0.02, 0.1, 0.05)
    features = np.random.default_rng(0).normal(0, 1, (30, 64)).astype(np.float32)
    assert pairs_by_features(features, stack(pictures)).tolist() == []
    features[17] = features[4]
    assert pairs_by_features(features, stack(pictures)).tolist() == [[4, 17]]


def test_a_hash_of_a_plain_picture_says_nothing() -> None:
    plain = [Image.new("RGB", (90, 80), colour) for colour in ("white", "white", "red")]
    assert len(pairs_by_hash([fingerprint(small) for small in stack(plain)])) == 0
    assert likeness(stack(plain[:2]), PAIR).tolist() == [0]


def test_many_photos_are_compared_in_little_memory() -> None:
    random = np.random.default_rng(0)
    pictures = random.integers(0, 256, (5000, 72, 72), np.uint8)
    pictures[4000] = pictures[7]
    pairs = pairs_by_hash([fingerprint(picture) for picture in pictures])
    assert pairs.tolist() == [[7, 4000]]


def test_pairs_make_groups() -> None:
    pairs = np.array([[0, 5], [3, 4], [2, 5]])
    assert components(7, pairs) == [[0, 2, 5], [3, 4]]
