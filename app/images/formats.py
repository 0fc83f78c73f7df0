"""The supported image formats, recognised by their first bytes."""

from collections.abc import Callable
from typing import Literal, get_args

from app.errors import EmptyFile, ServiceError, UnsupportedImage

Format = Literal["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"]
FORMATS: tuple[Format, ...] = get_args(Format)

_SIGNATURES: dict[Format, Callable[[bytes], bool]] = {
    "JPEG": lambda data: data.startswith(b"\xff\xd8\xff"),
    "PNG": lambda data: data.startswith(b"\x89PNG\r\n\x1a\n"),
    "WEBP": lambda data: data.startswith(b"RIFF") and data[8:12] == b"WEBP",
    "BMP": lambda data: data.startswith(b"BM"),
    "GIF": lambda data: data.startswith((b"GIF87a", b"GIF89a")),
    "TIFF": lambda data: data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
}


def sniff(data: bytes) -> Format:
    """Return the format that the first bytes of `data` show; 12 bytes are enough.

    Raises:
        EmptyFile: `data` has no bytes.
        UnsupportedImage: no supported format begins with these bytes.
    """
    if not data:
        raise EmptyFile
    for kind, matches in _SIGNATURES.items():
        if matches(data):
            return kind
    raise UnsupportedImage(f"The file is not an image of a known format: {', '.join(_SIGNATURES)}")


def is_image(data: bytes) -> bool:
    """Return whether `data` begins like an image of a supported format."""
    try:
        sniff(data)
    except ServiceError:
        return False
    return True
