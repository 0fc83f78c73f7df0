"""Training views of a photo: a random part of it, resized, perhaps mirrored."""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from app.images.preprocessing import Preprocessing

_TRIES = 10
_RATIOS = (3 / 4, 4 / 3)

Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels


class Augmentation(NamedTuple):
    """What is drawn by lot.

    Attributes:
        min_area: the smallest part of the photo's area that is seen, 0 to 1.
    """

    min_area: float

    def view(
        self, photo: Image.Image, spec: Preprocessing, rng: np.random.Generator
    ) -> npt.NDArray[np.uint8]:
        """Return (H, W, 3) uint8 of the network's input size."""
        box = self.box(photo.width, photo.height, rng)
        view = photo.resize(spec.crop, spec.resample, box)
        if rng.random() < 0.5:
            view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return np.asarray(view)

    def box(self, width: int, height: int, rng: np.random.Generator) -> Box:
        """Draw a part of the photo: area, aspect ratio and place, as "Inception" did it."""
        low, high = map(math.log, _RATIOS)
        for _ in range(_TRIES):
            area = width * height * rng.uniform(self.min_area, 1)
            ratio = math.exp(rng.uniform(low, high))
            w, h = math.sqrt(area * ratio), math.sqrt(area / ratio)
            if w <= width and h <= height:
                left, top = rng.uniform(0, width - w), rng.uniform(0, height - h)
                return left, top, left + w, top + h
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        return left, top, left + side, top + side
