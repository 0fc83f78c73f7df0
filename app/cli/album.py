"""Copies of photos with their label written on them, saved in a folder."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from app.disk import replacing
from app.errors import NotExplainable, StartupError
from app.images.captions import MAX_SIDE, captioned
from app.images.decoding import decode, decode_full
from app.images.heat import with_heat
from app.model.features import FeatureNetwork
from app.model.offline import NO_CLASS, UNFAMILIAR, FilePrediction


class Album:
    """A folder with one labelled copy of each photo, under the photo's name.

    Photos of several folders keep their relative paths below the nearest folder that holds all.

    Args:
        directory: the folder of the copies. It is created if it does not exist, and a file in it
            that has the name of a photo is replaced.
        photos: all photos that `add` will receive.
        max_pixels: the largest photo that is decoded; a larger one raises an error in `add`.
        font: a font file for labels with other letters than A to Z.
        network: if given, the copies show where it looked for the best class.

    Raises:
        NotExplainable: maps would not be exact for the network.
        StartupError: a copy would overwrite one of the photos.
    """

    def __init__(
        self,
        directory: Path,
        photos: Sequence[Path],
        max_pixels: int,
        font: Path | None = None,
        network: FeatureNetwork | None = None,
    ) -> None:
        if network and not network.explainable:
            raise NotExplainable
        self._directory, self._max_pixels, self._font = directory, max_pixels, font
        self._network = network
        self._root = Path(os.path.commonpath([_absolute(photo).parent for photo in photos]))
        originals = {_identity(photo) for photo in photos if photo.exists()}
        for photo in photos:
            path = self._path(photo)
            if path.exists() and _identity(path) in originals:
                raise StartupError(f"{path} is a photo itself; choose another folder with --save")

    def add(self, prediction: FilePrediction) -> Path:
        """Save a copy of the upright photo with its best class and score; return the copy's path.

        If no class reaches its threshold, or the photo is unfamiliar, the copy says so.

        Raises:
            ServiceError: the photo has changed since the prediction and cannot be decoded.
        """
        photo, best = Path(prediction.file), next(iter(prediction.predictions), None)
        caption = f"{best.label}  {best.score:.3f}" if best else NO_CLASS
        if prediction.unfamiliar:
            caption = UNFAMILIAR
        data = photo.read_bytes()
        picture = decode_full(data, self._max_pixels, srgb=True)
        if self._network and best:
            picture = self._heated(picture, data, best.class_id, self._network)
        labelled = captioned(picture, [caption], self._font)
        path = self._path(photo)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            labelled.save(part, prediction.image.format, quality=90)
        return path

    def _heated(
        self, picture: Image.Image, data: bytes, class_id: int, network: FeatureNetwork
    ) -> Image.Image:
        """Return a copy of the picture, small enough for a caption, with the map of the class."""
        spec = network.bundle.preprocessing
        pixels = decode(data, spec, self._max_pixels).pixels
        activation = network.activation_map(network(pixels[np.newaxis]), 0, class_id)
        small = picture.copy()
        small.thumbnail((MAX_SIDE, MAX_SIDE))
        return with_heat(small, activation.values, spec.box(*picture.size, small.size))

    def _path(self, photo: Path) -> Path:
        return self._directory / _absolute(photo).relative_to(self._root)


def _identity(path: Path) -> tuple[int, int]:
    """Return the device and inode of a file, which all links to the file share."""
    status = path.stat()
    return status.st_dev, status.st_ino


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100  (Path.resolve would follow links)
