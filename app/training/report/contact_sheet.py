"""Contact sheets: small copies of photos in rows, each with a caption."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageOps

from app.images.captions import captioned
from app.images.decoding import decode_full
from app.images.files import contents

_COLUMNS, _ROWS = 5, 8
_SIDE, _GAP = 224, 6  # pixels
# More sheets would fill the disk and be looked at by nobody.
_MAX_SHEETS = 25


class Caption(NamedTuple):
    """A photo, and the lines of text on it."""

    photo: Path
    lines: Sequence[str]


def write_sheets(captions: Sequence[Caption], folder: Path, name: str, max_pixels: int) -> int:
    """Write FOLDER/NAME-1.png and so on; return how many of the photos are on the sheets.

    Older sheets of the same name are deleted.
    """
    for old in folder.glob(f"{name}-*.png"):
        old.unlink()
    shown = captions[: _COLUMNS * _ROWS * _MAX_SHEETS]
    for number, start in enumerate(range(0, len(shown), _COLUMNS * _ROWS), 1):
        page = shown[start : start + _COLUMNS * _ROWS]
        sheet(_tile(caption, max_pixels) for caption in page).save(folder / f"{name}-{number}.png")
    return len(shown)


def sheet(tiles: Iterable[Image.Image]) -> Image.Image:
    """Return the tiles, which are squares of 224 pixels, side by side in rows of 5."""
    drawn, step = list(tiles), _SIDE + _GAP
    columns, rows = min(_COLUMNS, len(drawn)), -(-len(drawn) // _COLUMNS)
    picture = Image.new("RGB", (columns * step + _GAP, rows * step + _GAP), "white")
    for i, tile in enumerate(drawn):
        picture.paste(tile, (_GAP + i % _COLUMNS * step, _GAP + i // _COLUMNS * step))
    return picture


def _tile(caption: Caption, max_pixels: int) -> Image.Image:
    photo = decode_full(contents(caption.photo), max_pixels, at_least=_SIDE, srgb=True)
    return captioned(ImageOps.pad(photo, (_SIDE, _SIDE), color="#303646"), caption.lines)
