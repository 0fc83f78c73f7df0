"""Classify files on disk, through the very code that serves."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel

from app.errors import ServiceError
from app.images.decoding import Photo, UploadedImage, decode
from app.images.files import contents
from app.images.preprocessing import Preprocessing
from app.model.bundle import Bundle, Prediction
from app.model.engine import Engine, Scores

_BATCH = 4  # on CPU, larger batches are slower for each photo


class FileAnswer(NamedTuple):
    """A photo as the network saw it, and its scores (classes,)."""

    photo: Photo
    scores: Scores


class FilePrediction(BaseModel):
    """What the command line says of one file."""

    file: str
    predictions: list[Prediction]
    image: UploadedImage


class FileError(BaseModel):
    """Why it says nothing of one."""

    file: str
    code: str
    detail: str


def predict(
    paths: Sequence[Path], bundle: Bundle, engine: Engine, top_k: int, max_pixels: int
) -> Iterator[FilePrediction | FileError]:
    """Classify files in their order; one that cannot be read gives an error and is no stop."""
    for path, answer in zip(paths, classify(paths, bundle, engine, max_pixels), strict=True):
        if isinstance(answer, FileAnswer):
            photo = answer.photo
            yield FilePrediction(
                file=str(path),
                predictions=bundle.best(answer.scores, top_k),
                image=UploadedImage(width=photo.width, height=photo.height, format=photo.format),
            )
        else:
            yield FileError(file=str(path), code=answer.code, detail=str(answer))


def classify(
    paths: Sequence[Path], bundle: Bundle, engine: Engine, max_pixels: int
) -> Iterator[FileAnswer | ServiceError]:
    """Yield for each file, in their order, what the network says or why it cannot be read."""
    read = partial(_read, spec=bundle.preprocessing, max_pixels=max_pixels)
    with ThreadPoolExecutor(_BATCH) as threads:
        for start in range(0, len(paths), _BATCH):
            photos = list(threads.map(read, paths[start : start + _BATCH]))
            pixels = [photo.pixels for photo in photos if isinstance(photo, Photo)]
            rows = iter(engine.infer(np.stack(pixels)) if pixels else ())
            for photo in photos:
                yield FileAnswer(photo, next(rows)) if isinstance(photo, Photo) else photo


def _read(path: Path, spec: Preprocessing, max_pixels: int) -> Photo | ServiceError:
    try:
        return decode(contents(path), spec, max_pixels)
    except ServiceError as error:
        return error
