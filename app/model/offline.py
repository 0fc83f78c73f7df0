"""Classifies files on disk with the same code that serves uploads."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, Field

from app.errors import ServiceError
from app.images.decoding import Photo, UploadedImage, decode
from app.images.files import contents, reason
from app.images.preprocessing import Pixels, Preprocessing
from app.model.bundle import Bundle
from app.model.engine import Engine, Scores
from app.model.post_process import Prediction
from app.model.unfamiliarity import is_unfamiliar

# What people read where no class reaches its threshold.
NO_CLASS = "no class reaches its threshold"
# What people read where a photo shows none of the model's classes.
UNFAMILIAR = "unfamiliar: none of the classes"

# On a CPU, the time per photo is longer in larger batches.
_BATCH_SIZE = 4


class FilePrediction(BaseModel):
    """The output of the command line for one classified file."""

    file: str
    predictions: list[Prediction]
    unfamiliar: bool | None = Field(None, exclude_if=lambda unfamiliar: unfamiliar is None)
    unfamiliarity: float | None = Field(None, exclude_if=lambda far: far is None)
    image: UploadedImage


class FileError(BaseModel):
    """The output of the command line for a file that cannot be classified."""

    file: str
    code: str
    detail: str


def predict(
    paths: Sequence[Path], bundle: Bundle, engine: Engine, top_k: int | None, max_pixels: int
) -> Iterator[FilePrediction | FileError]:
    """Yield the classes of each file, at most `top_k`, in the given order.

    For a file that cannot be read, the generator yields the error and goes on.

    Raises:
        InferenceFailed: the network gave no valid answer.
    """
    for path, answer in zip(paths, classify(paths, bundle, engine, max_pixels), strict=True):
        if isinstance(answer, FileAnswer):
            photo, far = answer.photo, answer.unfamiliarity
            yield FilePrediction(
                file=str(path),
                predictions=bundle.post_process.answer(answer.scores, top_k),
                unfamiliar=None if far is None else is_unfamiliar(far),
                unfamiliarity=None if far is None else round(far, 6),
                image=UploadedImage(width=photo.width, height=photo.height, format=photo.format),
            )
        else:
            yield FileError(file=str(path), code=answer.code, detail=reason(answer))


class FileAnswer(NamedTuple):
    """The answer to a file.

    Attributes:
        photo: the photo with the network's pixels.
        scores: (classes,).
        unfamiliarity: from 0 to 1; None if the bundle cannot tell.
    """

    photo: Photo
    scores: Scores
    unfamiliarity: float | None


def classify(
    paths: Sequence[Path], bundle: Bundle, engine: Engine, max_pixels: int
) -> Iterator[FileAnswer | ServiceError]:
    """Yield the scores of each file in the given order, or the error if it cannot be read.

    Raises:
        InferenceFailed: the network gave no valid answer.
    """
    read = partial(_read, spec=bundle.preprocessing, max_pixels=max_pixels)
    with ThreadPoolExecutor(_BATCH_SIZE) as threads:
        for start in range(0, len(paths), _BATCH_SIZE):
            photos = list(threads.map(read, paths[start : start + _BATCH_SIZE]))
            pixels = [photo.pixels for photo in photos if isinstance(photo, Photo)]
            rows = _rows(engine, np.stack(pixels)) if pixels else iter(())
            for photo in photos:
                yield FileAnswer(photo, *next(rows)) if isinstance(photo, Photo) else photo


def _rows(engine: Engine, images: Pixels) -> Iterator[tuple[Scores, float | None]]:
    """Yield the scores and the unfamiliarity of each image (N, H, W, 3)."""
    scores, far = engine.answer(images)
    yield from zip(scores, [None] * len(scores) if far is None else far.tolist(), strict=True)


def _read(path: Path, spec: Preprocessing, max_pixels: int) -> Photo | ServiceError:
    try:
        return decode(contents(path), spec, max_pixels)
    except ServiceError as error:
        return error
