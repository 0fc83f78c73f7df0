"""Captions on pictures, readable on any background."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from app.images.fonts import load

# The dark band behind the text has this opacity; 1 would hide the picture.
_BAND_OPACITY = 0.7
# Text fits on a picture with the shortest side, and one with the longest side fits on a screen.
_MIN_SIDE, MAX_SIDE = 160, 2048  # pixels
_MIN_FONT_SIZE = 12  # pixels


def captioned(
    picture: Image.Image, lines: Sequence[str], font_file: Path | None = None
) -> Image.Image:
    """Return a copy of the picture (RGB) with a dark band at the bottom and `lines` on it.

    Args:
        picture: an RGB picture, which is not changed. The copy is shrunk to at most 2048 pixels a
            side and padded to at least 160.
        lines: the lines of text; a line that is too long for the width is cut.
        font_file: a font to use instead of the built-in one, which has the letters A to Z and draws
            others as boxes.

    Raises:
        StartupError: `font_file` is not a font.
    """
    picture = _sized(picture)
    size = max(_MIN_FONT_SIZE, min(picture.size) // 16)
    font, height = load(font_file, size), round(1.4 * size)
    top = picture.height - height * len(lines) - size // 2
    band = (0, top, picture.width, picture.height)
    picture.paste(Image.blend(picture.crop(band), _black(band), _BAND_OPACITY), band)
    draw = ImageDraw.Draw(picture)
    for row, line in enumerate(lines):
        text = _cut(line, font, picture.width - size)
        draw.text((size // 2, top + size // 4 + row * height), text, "white", font)
    return picture


def _sized(picture: Image.Image) -> Image.Image:
    picture = picture.copy()
    picture.thumbnail((MAX_SIDE, MAX_SIDE))
    size = max(picture.width, _MIN_SIDE), max(picture.height, _MIN_SIDE)
    return ImageOps.pad(picture, size)


def _black(band: tuple[int, int, int, int]) -> Image.Image:
    left, top, right, bottom = band
    return Image.new("RGB", (right - left, bottom - top))


def _cut(line: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """Return `line`, or its longest beginning that fits into `width` together with three dots."""
    if font.getlength(line) <= width:
        return line
    while line and font.getlength(line + "...") > width:
        line = line[:-1]
    return line + "..."
