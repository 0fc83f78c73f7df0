"""What a reader of training photos makes of a photo's colours."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from networks import transform_ops
from PIL import Image
from profiles import ADOBE, adobe_curve, rgb_profile, srgb_of_rgb

from app.model.transform_ops import read_transform_ops
from app.training.data.augment import Augmentation
from app.training.data.loader import PhotoReader, View


@pytest.mark.parametrize("key", [None, (1,)], ids=["as served", "random view"])
def test_a_profile_counts_where_the_spec_says_so(tmp_path: Path, key: tuple[int] | None) -> None:
    colour = np.array([60, 160, 70], np.uint8)
    photo = tmp_path / "leaf.png"
    profile = rgb_profile(ADOBE, adobe_curve)
    Image.new("RGB", (80, 80), tuple(colour.tolist())).save(photo, icc_profile=profile)
    spec = read_transform_ops(transform_ops())
    for srgb, expected in ((False, colour), (True, srgb_of_rgb(colour, ADOBE, adobe_curve))):
        reader = PhotoReader(replace(spec, srgb=srgb), 10_000, Augmentation(0.5))
        (view,) = reader.read([View(photo, key)])
        assert np.abs(view - expected).max() <= 1
