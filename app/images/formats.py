"""The formats that are read, told apart by their first bytes."""

from collections.abc import Callable
from typing import Literal

from app.errors import EmptyFile, UnsupportedImage

Format = Literal["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"]


_SIGNATURES: dict[Format, Callable[[bytes], bool]] = {
    "JPEG": lambda data: data.startswith(b"\xff\xd8\xff"),
    "PNG": lambda data: data.startswith(b"\x89PNG\r\n\x1a\n"),
    "WEBP": lambda data: data.startswith(b"RIFF") and data[8:12] == b"WEBP",
    "BMP": lambda data: data.startswith(b"BM"),
    "GIF": lambda data: data.startswith((b"GIF87a", b"GIF89a")),
    "TIFF": lambda data: data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
}


def sniff(data: bytes) -> Format:
    """Tell an image's format by its first bytes.

    Raises:
        EmptyFile: there are none.
        UnsupportedImage: none of the formats read here begins so.
    """
    if not data:
        raise EmptyFile
    for kind, begins in _SIGNATURES.items():
        if begins(data):
            return kind
    raise UnsupportedImage(f"The file is not an image of a known format: {', '.join(_SIGNATURES)}")
