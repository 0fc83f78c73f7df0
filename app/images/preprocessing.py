"""The preprocessing spec of a bundle: how a photo becomes the network's input.

Evaluation, prediction, export and serving use the same spec. `model.transform_ops` reads it from
the bundle's `inference.yml`, and `images.decoding` resizes and crops by it.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL.Image import Resampling

Channels = tuple[float, float, float]
Box = tuple[float, float, float, float]
Pixels = npt.NDArray[np.uint8]  # (H, W, 3)


@dataclass(frozen=True)
class Preprocessing:
    """The steps from an upright RGB photo to the network's input.

    Attributes:
        resize_short: length of the short side after resizing, in pixels; None if `resize` is given.
        resize: (width, height) after resizing without regard to the aspect ratio, or None.
        crop: (width, height) that is cut from the centre; the network's input size.
        resample: Pillow's resampling filter.
        antialias: whether the filter is widened when it shrinks a photo, as Pillow does; False
            samples as OpenCV does.
        scale, mean, std: y = (x * scale - mean) / std for x in 0..255; `mean` and `std` have a
            value for each of R, G, B.
        srgb: whether the colours of a photo with an embedded profile are converted to sRGB;
            PaddleClas ignores profiles.
    """

    resize_short: int | None
    resize: tuple[int, int] | None
    crop: tuple[int, int]
    resample: Resampling
    antialias: bool
    scale: float
    mean: Channels
    std: Channels
    srgb: bool = False

    def normalized(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Return the network's input (N, 3, H, W) for RGB images (N, H, W, 3)."""
        # (x * scale - mean) / std needs only one multiplication and one addition a pixel this way.
        factor = (self.scale / np.array(self.std, np.float64)).astype(np.float32)
        offset = (-np.array(self.mean) / np.array(self.std)).astype(np.float32)
        planes = images.transpose(0, 3, 1, 2)  # (N, 3, H, W)
        x = np.empty(planes.shape, np.float32)
        np.multiply(planes, factor[:, None, None], out=x)
        x += offset[:, None, None]
        return x

    def resized(self, width: int, height: int) -> tuple[int, int]:
        """Return the size (width, height) of a photo after resizing, rounded as in PaddleClas."""
        if self.resize:
            return self.resize
        ratio = (self.resize_short or min(self.crop)) / min(width, height)
        return round(width * ratio), round(height * ratio)

    def box(self, width: int, height: int, shown: tuple[int, int]) -> Box:
        """Return what the network sees of a photo: left, top, right and bottom in pixels.

        Args:
            width: of the photo.
            height: of the photo.
            shown: the size (width, height) of the copy of the photo that the pixels refer to.
        """
        resized = self.resized(width, height)
        left, right = _span(shown[0], resized[0], self.crop[0])
        top, bottom = _span(shown[1], resized[1], self.crop[1])
        return left, top, right, bottom


def _span(length: int, resized: int, crop: int) -> tuple[float, float]:
    """Return where a centre crop of the resized length begins and ends in the original length."""
    start = (resized - crop) // 2
    return start * length / resized, min(float(length), (start + crop) * length / resized)
