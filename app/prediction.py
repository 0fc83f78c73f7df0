"""Classify files on disk, through the very code that serves."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from app.bundle import Bundle
from app.engine import Engine
from app.errors import ServiceError, UnsupportedImage
from app.images import Photo, decode, sniff
from app.preprocessing import Preprocessing
from app.schemas import FileError, FilePrediction, UploadedImage

_BATCH = 4  # on CPU, larger batches are slower for each photo


def find_photos(paths: Iterable[Path]) -> list[Path]:
    """Return the files among `paths`, and all images below the folders among them, sorted."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(file for file in path.rglob("*") if file.is_file() and _is_image(file))
        else:
            found.append(path)
    return found


def predict(
    paths: Sequence[Path], bundle: Bundle, engine: Engine, top_k: int, max_pixels: int
) -> Iterator[FilePrediction | FileError]:
    """Classify files in their order; one that cannot be read gives an error and is no stop."""
    read = partial(_read, spec=bundle.preprocessing, max_pixels=max_pixels)
    with ThreadPoolExecutor(_BATCH) as threads:
        for start in range(0, len(paths), _BATCH):
            batch = paths[start : start + _BATCH]
            photos = list(threads.map(read, batch))
            pixels = [photo.pixels for photo in photos if isinstance(photo, Photo)]
            rows = iter(engine.infer(np.stack(pixels)) if pixels else ())
            for path, photo in zip(batch, photos, strict=True):
                if isinstance(photo, Photo):
                    yield FilePrediction(
                        file=str(path),
                        predictions=bundle.best(next(rows), top_k),
                        image=UploadedImage(
                            width=photo.width, height=photo.height, format=photo.format
                        ),
                    )
                else:
                    yield FileError(file=str(path), code=photo.code, detail=str(photo))


def _read(path: Path, spec: Preprocessing, max_pixels: int) -> Photo | ServiceError:
    try:
        return decode(path.read_bytes(), spec, max_pixels)
    except ServiceError as error:
        return error
    except OSError as error:
        return UnsupportedImage(f"The file cannot be read: {error.strerror}")


def _is_image(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            sniff(file.read(16))
    except (ServiceError, OSError):
        return False
    return True
