"""The supported image formats, recognised by their first bytes."""

from collections.abc import Callable
from typing import Literal, get_args

from app.errors import EmptyFile, ServiceError, UnsupportedImage

Format = Literal["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "HEIF"]
FORMATS: tuple[Format, ...] = get_args(Format)

# AVIF and HEIF are the same container, which begins with a box `ftyp`: its length, its name, a
# brand, a version, and further brands that the file is compatible with (ISO/IEC 14496-12).
_AVIF_BRANDS = {b"avif", b"avis"}
_HEVC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
# These brands name the container alone, so the further brands tell what it holds.
_CONTAINER_BRANDS = {b"mif1", b"msf1"}
_MAX_BRANDS_BYTES = 1024


def _brand(data: bytes) -> bytes:
    return data[8:12] if data[4:8] == b"ftyp" else b""


def _is_avif(data: bytes) -> bool:
    if _brand(data) not in _CONTAINER_BRANDS:
        return _brand(data) in _AVIF_BRANDS
    end = min(int.from_bytes(data[:4]), _MAX_BRANDS_BYTES)
    return any(data[start : start + 4] in _AVIF_BRANDS for start in range(16, end, 4))


_SIGNATURES: dict[Format, Callable[[bytes], bool]] = {
    "JPEG": lambda data: data.startswith(b"\xff\xd8\xff"),
    "PNG": lambda data: data.startswith(b"\x89PNG\r\n\x1a\n"),
    "WEBP": lambda data: data.startswith(b"RIFF") and data[8:12] == b"WEBP",
    "BMP": lambda data: data.startswith(b"BM"),
    "GIF": lambda data: data.startswith((b"GIF87a", b"GIF89a")),
    "TIFF": lambda data: data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    "AVIF": _is_avif,
    "HEIF": lambda data: _brand(data) in _HEVC_BRANDS | _CONTAINER_BRANDS,
}


def sniff(data: bytes) -> Format:
    """Return the format that the first bytes of `data` show.

    12 bytes are enough to tell an image from other files. To tell AVIF from HEIF may take more.

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
