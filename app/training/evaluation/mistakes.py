"""The worst mistakes side by side, to see at a glance whose mistakes they are."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageOps

from app.images.captions import captioned
from app.images.decoding import decode_full
from app.images.files import contents
from app.training.evaluation.evaluate import Evaluation

_COLUMNS, _ROWS = 5, 4
_SIDE, _GAP = 224, 6  # pixels


def draw_mistakes(evaluation: Evaluation, path: Path, max_pixels: int) -> int:
    """Draw the wrong answers that the model was surest of; return how many, at most 20.

    Where there are none, there is no file.
    """
    worst = evaluation.result.mistakes()[: _COLUMNS * _ROWS].tolist()
    tiles = [_tile(evaluation, place, max_pixels) for place in worst]
    if tiles:
        _sheet(tiles).save(path)
    else:
        path.unlink(missing_ok=True)  # of a run before
    return len(tiles)


def _tile(evaluation: Evaluation, place: int, max_pixels: int) -> Image.Image:
    """Return a photo with what was said of it and what it is, each with its score."""
    sample, result = evaluation.samples[place], evaluation.result
    lines = [
        f"{word} {evaluation.names[class_id]}  {result.scores[place, class_id]:.2f}"
        for word, class_id in (("said", result.predicted[place]), ("is", sample.class_id))
    ]
    photo = decode_full(contents(sample.path), max_pixels)
    return captioned(ImageOps.pad(photo, (_SIDE, _SIDE), color="#303646"), lines)


def _sheet(tiles: Sequence[Image.Image]) -> Image.Image:
    step = _SIDE + _GAP
    columns, rows = min(_COLUMNS, len(tiles)), -(-len(tiles) // _COLUMNS)
    sheet = Image.new("RGB", (columns * step + _GAP, rows * step + _GAP), "white")
    for i, tile in enumerate(tiles):
        sheet.paste(tile, (_GAP + i % _COLUMNS * step, _GAP + i // _COLUMNS * step))
    return sheet
