"""Random views of a photo lie within it, and their key alone decides them."""

import math
from itertools import chain, pairwise

import numpy as np
from networks import transform_ops
from PIL import Image

from app.model.transform_ops import read_transform_ops
from app.training.data.augment import Augmentation
from app.training.learning.batches import epoch_order
from app.training.learning.schedule import learning_rate

SPEC = read_transform_ops(transform_ops(crop=(64, 48)))


def test_boxes_lie_within_the_photo_and_have_the_wanted_area() -> None:
    rng = np.random.default_rng(0)
    areas = []
    for _ in range(300):
        left, top, right, bottom = Augmentation(0.35).box(120, 100, rng)
        assert 0 <= left < right <= 120
        assert 0 <= top < bottom <= 100
        assert 3 / 4 - 1e-9 <= (right - left) / (bottom - top) <= 4 / 3 + 1e-9
        areas.append((right - left) * (bottom - top) / (120 * 100))
    assert 0.35 <= min(areas) < 0.4
    assert 0.8 < max(areas) <= 1


def test_of_a_strip_the_middle_square_is_seen() -> None:
    box = Augmentation(0.9).box(1000, 10, np.random.default_rng(0))
    assert box == (495, 0, 505, 10)


def test_a_view_has_the_input_size_and_is_mirrored_half_the_time() -> None:
    dark_to_bright = np.tile(np.arange(0, 240, 2, dtype=np.uint8)[None, :, None], (90, 1, 3))
    photo = Image.fromarray(dark_to_bright)
    views = [Augmentation(0.5).view(photo, SPEC, np.random.default_rng((1, i))) for i in range(40)]
    assert {view.shape for view in views} == {(48, 64, 3)}
    mirrored = sum(bool(view[:, 0].mean() > view[:, -1].mean()) for view in views)
    assert 10 <= mirrored <= 30
    again = Augmentation(0.5).view(photo, SPEC, np.random.default_rng((1, 7)))
    assert np.array_equal(again, views[7])
    assert len({view.tobytes() for view in views}) == len(views)


def test_the_rate_climbs_and_falls_as_a_cosine() -> None:
    rates = [learning_rate(step, 110, 0.5, 10) for step in range(111)]
    assert rates[0] == 0.05
    assert rates[9] == rates[10] == 0.5
    assert rates[60] == 0.25
    assert math.isclose(rates[110], 0, abs_tol=1e-12)
    assert all(a >= b for a, b in pairwise(rates[10:]))


def test_an_epoch_sees_every_photo_once_in_an_order_of_its_own() -> None:
    first, again, second = (epoch_order(23, 5, key) for key in ((0, 1), (0, 1), (0, 2)))
    assert [len(batch) for batch in first] == [5, 5, 5, 5, 3]
    assert sorted(chain.from_iterable(first)) == list(range(23))
    assert first == again != second
