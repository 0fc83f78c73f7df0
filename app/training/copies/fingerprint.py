"""A photo's thumbnail and its difference hash, by which copies of the photo are recognised."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

Thumbnail = npt.NDArray[np.uint8]
# A multiple of 8 and of 9, so that whole pixels make the fields of the hash.
_SIDE = 72


class Fingerprint(NamedTuple):
    """The 128 bits of a photo's difference hash, and those of the mirrored photo."""

    upright: bytes
    mirrored: bytes


def thumbnail(photo: Image.Image) -> Thumbnail:
    """Return the photo in 72 x 72 grey pixels; its aspect ratio is lost."""
    # Pillow's filter BOX gives a mirrored photo other pixels than the photo, mirrored.
    small = photo.resize((_SIDE, _SIDE), Image.Resampling.BILINEAR)
    return np.asarray(small.convert("L"))


def fingerprint(grey: Thumbnail) -> Fingerprint:
    """Return the fingerprint of a thumbnail."""
    return Fingerprint(_hash(grey), _hash(grey[:, ::-1]))


def _hash(grey: Thumbnail) -> bytes:
    """Return for 8 x 8 fields whether the next one is brighter: to the right, then downward.

    Encoding a photo again or resizing it changes few of these bits.
    """
    rows, columns = _means(grey, 8, 9), _means(grey, 9, 8)
    bits = rows[:, 1:] > rows[:, :-1], columns[1:] > columns[:-1]
    return np.packbits(np.stack(bits)).tobytes()


def _means(grey: Thumbnail, height: int, width: int) -> npt.NDArray[np.float32]:
    fields = grey.reshape(height, _SIDE // height, width, _SIDE // width)
    return np.asarray(fields.mean(axis=(1, 3)), np.float32)
