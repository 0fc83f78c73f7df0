"""Photos with what they show written on them, saved below a folder of their own."""

import os
from collections.abc import Sequence
from pathlib import Path

from app.errors import StartupError
from app.images.captions import captioned
from app.images.decoding import decode_full
from app.model.offline import FilePrediction


class Album:
    """A folder that takes one picture for each photo, under the photo's name.

    Photos of several folders keep their place below the nearest folder that has them all.

    Args:
        directory: made if need be; what lies there under a photo's name is replaced.
        photos: all that may come.
        max_pixels: larger ones are refused.
        font: for labels that are not written in Latin letters.

    Raises:
        StartupError: a picture would take the place of its own photo.
    """

    def __init__(
        self, directory: Path, photos: Sequence[Path], max_pixels: int, font: Path | None = None
    ) -> None:
        self._directory, self._max_pixels, self._font = directory, max_pixels, font
        self._root = Path(os.path.commonpath([_absolute(photo).parent for photo in photos]))
        originals = {_identity(photo) for photo in photos if photo.exists()}
        for photo in photos:
            place = self._place(photo)
            if place.exists() and _identity(place) in originals:
                raise StartupError(f"{place} is a photo itself; save the pictures elsewhere")

    def add(self, prediction: FilePrediction) -> Path:
        """Write the likeliest class and its score on the upright photo; return the new file."""
        photo, best = Path(prediction.file), prediction.predictions[0]
        caption = f"{best.label}  {best.score:.3f}"
        written = captioned(
            decode_full(photo.read_bytes(), self._max_pixels), [caption], self._font
        )
        place = self._place(photo)
        place.parent.mkdir(parents=True, exist_ok=True)
        written.save(place, prediction.image.format, quality=90)
        return place

    def _place(self, photo: Path) -> Path:
        return self._directory / _absolute(photo).relative_to(self._root)


def _identity(path: Path) -> tuple[int, int]:
    """Return what a file has in common with all its links."""
    status = path.stat()
    return status.st_dev, status.st_ino


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100  (without `..`, links kept)
