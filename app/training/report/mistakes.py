"""Draws the worst mistakes side by side, to distinguish wrong answers from wrong labels."""

from pathlib import Path

from PIL import Image, ImageOps

from app.images.captions import captioned
from app.images.decoding import decode_full
from app.images.files import contents
from app.training.evaluation.evaluate import Evaluation
from app.training.report.contact_sheet import sheet

_COLUMNS, _ROWS = 5, 4
_SIDE = 224  # pixels


def draw_mistakes(
    evaluation: Evaluation, path: Path, max_pixels: int, font: Path | None = None
) -> int:
    """Draw the wrong answers with the highest confidence, and return how many: at most 20.

    The names of the classes are in `font`; without one, in the built-in font. If there are no
    wrong answers, no file is written, and a file that exists is deleted.
    """
    worst = evaluation.result.mistakes()[: _COLUMNS * _ROWS].tolist()
    tiles = [_tile(evaluation, index, max_pixels, font) for index in worst]
    if tiles:
        sheet(tiles).save(path)
    else:
        path.unlink(missing_ok=True)
    return len(tiles)


def _tile(evaluation: Evaluation, index: int, max_pixels: int, font: Path | None) -> Image.Image:
    """Return a photo with its predicted class and its label, each with its score."""
    sample, result = evaluation.samples[index], evaluation.result
    lines = [
        f"{source}: {evaluation.names[class_id]}  {result.scores[index, class_id]:.2f}"
        for source, class_id in (("model", result.predicted[index]), ("label", sample.class_id))
    ]
    photo = decode_full(contents(sample.path), max_pixels, srgb=True)
    return captioned(ImageOps.pad(photo, (_SIDE, _SIDE), color="#303646"), lines, font)
