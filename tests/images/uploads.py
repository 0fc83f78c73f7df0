"""Helpers of the image tests: they encode uploads and decode them with known specs."""

import io
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.Image import Resampling
from raw_files import png
from skimage import data

from app.errors import ServiceError
from app.images import heif
from app.images.decoding import Photo, decode
from app.images.formats import Format
from app.images.preprocessing import Pixels, Preprocessing

LIMIT = 50_000_000
PIL = Preprocessing(
    resize_short=256,
    resize=None,
    crop=(224, 224),
    resample=Resampling.BILINEAR,
    antialias=True,
    scale=1 / 255,
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
)
OPENCV = replace(PIL, antialias=False)
IN_SRGB = replace(PIL, srgb=True)
# This spec does not resample a 32 x 32 upload.
UNCHANGED = replace(PIL, resize_short=32, crop=(32, 32))

FORMATS: tuple[Format, ...] = get_args(Format)
# Pillow writes WebP quickly with these options.
OPTIONS: dict[Format, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"lossless": True, "quality": 0, "method": 0},
    "TIFF": {"compression": "tiff_lzw"},
    "AVIF": {"quality": 95, "subsampling": "4:4:4", "speed": 9},
    "HEIF": {"quality": 95, "chroma": 444},
}
# The package that reads HEIF writes it too, if Pillow knows it.
assert heif.available()


def photograph(name: str) -> Pixels:
    load: Callable[[], Pixels] = getattr(data, name)
    return load()


CAT = photograph("chelsea")  # (300, 451, 3)
EYE = np.ascontiguousarray(CAT[100:132, 150:182])  # (32, 32, 3)


def encode(pixels: npt.NDArray[Any] | Image.Image, kind: str, **options: Any) -> bytes:  # noqa: ANN401
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    file = io.BytesIO()
    image.save(file, kind, **{**OPTIONS.get(kind, {}), **options})  # type: ignore[call-overload]
    return file.getvalue()


def exact(upload: bytes) -> Pixels:
    """Return the decoded pixels of a 32 x 32 upload, not resampled."""
    return decode(upload, UNCHANGED, LIMIT).pixels


def difference(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    return np.abs(a.astype(np.int64) - b.astype(np.int64))


def answer(upload: bytes, spec: Preprocessing = PIL) -> Photo | None:
    """Decode an upload that may be damaged; return a valid photo, or None for an error of ours."""
    try:
        photo = decode(upload, spec, LIMIT)
    except ServiceError:
        return None
    assert photo.pixels.shape == (spec.crop[1], spec.crop[0], 3)
    assert photo.pixels.dtype == np.uint8
    assert photo.pixels.flags.c_contiguous
    return photo


def png_of_16_bits(pixels: Pixels) -> bytes:
    deep = (pixels.astype(np.uint16) << 8) + 255
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in deep)
    return png(pixels.shape[1], pixels.shape[0], 16, zlib.compress(rows))
