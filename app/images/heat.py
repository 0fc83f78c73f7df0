"""Heat maps on pictures: the hotter a place, the more it spoke for a class."""

import numpy as np
import numpy.typing as npt
from PIL import Image

from app.images.preprocessing import Box

# From cold to hot: violet, red, orange, yellow. Each step is lighter than the one before, so the
# order shows without colours, too.
_COLOURS = np.array([(60, 10, 110), (200, 30, 70), (250, 140, 30), (255, 240, 110)], np.float32)
# The hottest place has this opacity; 1 would hide the picture.
_OPACITY = 0.75
# Opacity falls faster than the heat, so that the hottest places stand out.
_CONTRAST = 1.5


def with_heat(
    picture: Image.Image, values: npt.NDArray[np.float32], box: Box | None = None
) -> Image.Image:
    """Return an RGB picture in grey with a map (h, w) on it, smoothly enlarged.

    The highest value is hottest. Where a value is 0 or below, there is no colour.

    Args:
        picture: the picture, which is not changed.
        values: the map, in float32.
        box: the part of the picture to which the map belongs; None stands for all of it.
    """
    left, top, right, bottom = (round(side) for side in box or (0, 0, *picture.size))
    enlarged = Image.fromarray(values).resize(
        (right - left, bottom - top), Image.Resampling.BICUBIC
    )
    heat = np.asarray(enlarged).clip(0)
    heat /= max(float(heat.max()), np.finfo(np.float32).tiny)  # 0 to 1
    steps = np.linspace(0, 1, len(_COLOURS))
    colours = np.stack([np.interp(heat, steps, channel) for channel in _COLOURS.T], -1)  # (H, W, 3)
    opacity = 255 * _OPACITY * heat**_CONTRAST
    drawn = picture.convert("L").convert("RGB")
    drawn.paste(_as_image(colours), (left, top), _as_image(opacity))
    return drawn


def _as_image(array: npt.NDArray[np.floating]) -> Image.Image:
    return Image.fromarray(array.round().astype(np.uint8))
