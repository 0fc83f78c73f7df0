"""The photos to send: from a folder, or pictures that scikit-image ships."""

import csv
import importlib.util
import io
import math
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps

from app.errors import StartupError
from app.images.formats import is_image

_MAX_PHOTOS = 1000
MEGAPIXELS = 0.1875  # 500 x 375
_SHIPPED = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "motorcycle_left.png",
    "motorcycle_right.png",
    "retina.jpg",
    "rocket.jpg",
)


@dataclass(frozen=True)
class PhotoFile:
    """A file to upload. `class_index` is its true class; None if that is not known."""

    name: str
    data: bytes
    class_index: int | None = None


def photos_to_send(folder: Path | None, megapixels: float = MEGAPIXELS) -> list[PhotoFile]:
    """Return the images in `folder`, at most 1000, with their classes from its labels.csv.

    Args:
        folder: the folder of photos; None stands for pictures that scikit-image ships.
        megapixels: the size of scikit-image's pictures, which become JPEGs of 4 : 3.

    Raises:
        StartupError: there are no images, or labels.csv is not of the form file,class_index.
        OSError: a file cannot be read.
    """
    return _shipped(megapixels) if folder is None else _read(folder)


def _read(folder: Path) -> list[PhotoFile]:
    if not folder.is_dir():
        raise StartupError(f"{folder} is not a folder: name a folder of photos")
    labels = _labels(folder / "labels.csv")
    photos: list[PhotoFile] = []
    for file in sorted(folder.iterdir()):
        if file.is_file() and len(photos) < _MAX_PHOTOS:
            data = file.read_bytes()
            if is_image(data):
                photos.append(PhotoFile(file.name, data, labels.get(file.name)))
    if not photos:
        raise StartupError(f"{folder}: no images found, name another folder")
    return photos


def _shipped(megapixels: float) -> list[PhotoFile]:
    package = importlib.util.find_spec("skimage")
    if package is None or package.origin is None:
        raise StartupError("name a folder of photos with --images (scikit-image is not installed)")
    folder = Path(package.origin).parent / "data"
    height = round(math.sqrt(megapixels * 1e6 * 3 / 4))
    size = (height * 4 // 3, height)
    return [PhotoFile(name, _jpeg(folder / name, size)) for name in _SHIPPED]


def _jpeg(file: Path, size: tuple[int, int]) -> bytes:
    with Image.open(file) as image:
        fitted = ImageOps.fit(image.convert("RGB"), size)
    data = io.BytesIO()
    fitted.save(data, "JPEG", quality=92)
    return data.getvalue()


def _labels(file: Path) -> dict[str, int]:
    if not file.is_file():
        return {}
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            return {row["file"]: int(row["class_index"]) for row in csv.DictReader(lines)}
    except (KeyError, TypeError, ValueError) as error:
        raise StartupError(f"{file} is not of the form file,class_index") from error
