"""The preprocessing spec of a bundle: `PreProcess.transform_ops` of its `inference.yml`, read once.

The ops and their defaults are those of PaddleClas and PaddleX. One spec serves evaluation,
prediction, export and serving alike; `images` does the geometry.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL.Image import Resampling

Channels = tuple[float, float, float]


Pixels = npt.NDArray[np.uint8]  # (H, W, 3)


@dataclass(frozen=True)
class Preprocessing:
    """What is done to an upright RGB photo before the network sees it.

    Attributes:
        resize_short: length of the short side after resizing; None where `resize` is given.
        resize: (width, height) after resizing without regard to the aspect ratio, or None.
        crop: (width, height) cut from the centre; the network's input size.
        resample: Pillow's filter.
        antialias: widen the filter when shrinking (Pillow's habit); False samples like OpenCV.
        scale, mean, std: y = (x * scale - mean) / std for x in 0..255, a channel each of R, G, B.
    """

    resize_short: int | None
    resize: tuple[int, int] | None
    crop: tuple[int, int]
    resample: Resampling
    antialias: bool
    scale: float
    mean: Channels
    std: Channels

    def normalized(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Return the network's input (N, 3, H, W) of RGB images (N, H, W, 3)."""
        # (x * scale - mean) / std, with one multiplication and one addition a pixel
        factor = (self.scale / np.array(self.std, np.float64)).astype(np.float32)
        offset = (-np.array(self.mean) / np.array(self.std)).astype(np.float32)
        planes = images.transpose(0, 3, 1, 2)  # (N, 3, H, W)
        x = np.empty(planes.shape, np.float32)
        np.multiply(planes, factor[:, None, None], out=x)
        x += offset[:, None, None]
        return x

    def resized(self, width: int, height: int) -> tuple[int, int]:
        """Return (width, height) of a photo after resizing, rounded as PaddleClas rounds."""
        if self.resize:
            return self.resize
        ratio = (self.resize_short or min(self.crop)) / min(width, height)
        return round(width * ratio), round(height * ratio)
