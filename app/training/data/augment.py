"""Random views of a photo for training: a crop, resized and perhaps mirrored."""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from app.images.preprocessing import Preprocessing

_MAX_TRIES = 10
_RATIOS = (3 / 4, 4 / 3)  # width / height

Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels


class Augmentation(NamedTuple):
    """Draws random views of photos.

    Attributes:
        min_area: the smallest share of the photo's area that a view shows, 0 to 1.
    """

    min_area: float

    def view(
        self, photo: Image.Image, spec: Preprocessing, rng: np.random.Generator
    ) -> npt.NDArray[np.uint8]:
        """Return a random view, (H, W, 3) uint8 in the network's input size."""
        box = self.box(photo.width, photo.height, rng)
        view = photo.resize(spec.crop, spec.resample, box)
        if rng.random() < 0.5:
            view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return np.asarray(view)

    def box(self, width: int, height: int, rng: np.random.Generator) -> Box:
        """Return a crop of random area, aspect ratio and position.

        If ten such crops do not fit into the photo, the crop is the square in its centre. Source:
        Szegedy et al., "Going Deeper with Convolutions", https://arxiv.org/abs/1409.4842.
        """
        low, high = map(math.log, _RATIOS)
        for _ in range(_MAX_TRIES):
            area = width * height * rng.uniform(self.min_area, 1)
            ratio = math.exp(rng.uniform(low, high))
            w, h = math.sqrt(area * ratio), math.sqrt(area / ratio)
            if w <= width and h <= height:
                left, top = rng.uniform(0, width - w), rng.uniform(0, height - h)
                return left, top, left + w, top + h
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        return left, top, left + side, top + side
