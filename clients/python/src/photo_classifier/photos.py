"""Makes the bytes of an image file of whatever a photo is in a Python program."""

import io
import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

# PNG's number for the colours of an array: grey, grey with alpha, RGB, RGBA.
_COLOR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
_PNG_MODES = {"1", "L", "LA", "I;16", "P", "RGB", "RGBA"}


@runtime_checkable
class PillowImage(Protocol):
    """An image of Pillow."""

    @property
    def mode(self) -> str:
        """The kind of the pixels."""

    def save(self, fp: Any, format: str | None = None, **params: Any) -> None:  # noqa: A002, ANN401
        """Write a file."""

    def convert(self, mode: str) -> "PillowImage":
        """Return a copy with another kind of pixels."""

    def getexif(self) -> Any:  # noqa: ANN401
        """Return the EXIF data, which may say how the photo is turned."""


@runtime_checkable
class Array(Protocol):
    """An array of NumPy, or of another library with the same interface."""

    @property
    def shape(self) -> Sequence[int]:
        """The sizes of the axes."""

    @property
    def dtype(self) -> Any:  # noqa: ANN401
        """The type of the elements."""

    def tobytes(self) -> bytes:
        """Return the elements, the last axis first."""


ONE = (str, os.PathLike, bytes, bytearray, memoryview, PillowImage, Array)
Photo = str | os.PathLike[str] | bytes | bytearray | memoryview | PillowImage | Array


def file_of(photo: Photo) -> bytes:
    """Return the bytes of an image file.

    Raises:
        OSError: the file cannot be read.
        TypeError: this is no photo.
        ValueError: the array has another shape, or other elements than uint8.
    """
    match photo:
        case str() | os.PathLike():
            return Path(photo).read_bytes()
        # An array is a buffer as well, but not a memoryview.
        case bytes() | bytearray() | memoryview():
            return bytes(photo)
        case PillowImage():
            return _of_image(photo)
        case Array():
            return _of_array(photo)
    raise no_photo(photo)


def no_photo(photo: object) -> TypeError:
    """Return the error that this is no photo."""
    name = type(photo).__name__
    return TypeError(f"a photo is a path, bytes, an image or an array, and not of type {name}")


def _of_image(image: PillowImage) -> bytes:
    exif = image.getexif()
    if image.mode not in _PNG_MODES:
        image = image.convert("RGB")
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1, exif=exif)
    return file.getvalue()


def _of_array(array: Array) -> bytes:
    """Return a PNG file of an array (height, width) or (height, width, channels) of uint8."""
    height, width, channels = (*array.shape, 1)[:3] if len(array.shape) in (2, 3) else (0, 0, 0)
    if not height or not width or channels not in _COLOR_TYPES or str(array.dtype) != "uint8":
        raise ValueError(
            "an array is (height, width) or (height, width, channels) of uint8, and not "
            f"{tuple(array.shape)} of {array.dtype}"
        )
    pixels, row = array.tobytes(), width * channels
    # Each row begins with the number of its filter; 0 is none.
    rows = b"".join(b"\0" + pixels[start : start + row] for start in range(0, len(pixels), row))
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOR_TYPES[channels], 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
