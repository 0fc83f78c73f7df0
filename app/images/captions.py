"""Words written on pictures, readable on any background."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from app.errors import StartupError

_BAND = 0.7  # how dark the band below the words is: 1 hides the picture
_MIN, _MAX = 160, 2048  # pixels a side: words fit on it, and it can be looked at
_MIN_SIZE = 12  # of the letters, in pixels


def captioned(
    picture: Image.Image, lines: Sequence[str], font_file: Path | None = None
) -> Image.Image:
    """Return an RGB picture with a dark band at its foot and `lines` on it.

    Args:
        picture: RGB; it stays as it is. Words are written on a copy of a size to look at.
        lines: one below the other; what is too long for the width is cut.
        font_file: for letters that the built-in font, which is Latin only, draws as boxes.

    Raises:
        StartupError: `font_file` is no font.
    """
    picture = _sized(picture)
    size = max(_MIN_SIZE, min(picture.size) // 16)
    font, height = _font(font_file, size), round(1.4 * size)
    top = picture.height - height * len(lines) - size // 2
    band = (0, top, picture.width, picture.height)
    picture.paste(Image.blend(picture.crop(band), _black(band), _BAND), band)
    draw = ImageDraw.Draw(picture)
    for row, line in enumerate(lines):
        text = _cut(line, font, picture.width - size)
        draw.text((size // 2, top + size // 4 + row * height), text, "white", font)
    return picture


def _sized(picture: Image.Image) -> Image.Image:
    picture = picture.copy()
    picture.thumbnail((_MAX, _MAX))
    size = max(picture.width, _MIN), max(picture.height, _MIN)
    return ImageOps.pad(picture, size)


def _font(file: Path | None, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    try:
        return ImageFont.truetype(file, size) if file else ImageFont.load_default(size)
    except OSError as error:
        raise StartupError(f"{file} is not a font that can be read") from error


def _black(band: tuple[int, int, int, int]) -> Image.Image:
    left, top, right, bottom = band
    return Image.new("RGB", (right - left, bottom - top))


def _cut(line: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """Return `line`, or as much of it as fits and three dots."""
    if font.getlength(line) <= width:
        return line
    while line and font.getlength(line + "...") > width:
        line = line[:-1]
    return line + "..."
