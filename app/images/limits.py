"""What an upload may ask of its decoder: a few bytes could keep it at work for a minute."""

import math
import re

from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import TILELENGTH, TILEWIDTH, TiffImageFile

from app.errors import BrokenImage, TooManyPixels
from app.images.formats import Format

# A progressive JPEG has about ten scans. Each is a pass over all pixels, and may take 40 bytes.
_MAX_SCANS = 64
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # those between scan data are left out
_SCAN, _END = b"\xff\xda", b"\xff\xd9"
# Pillow joins the EXIF segments of a JPEG one by one, and inflates every colour profile of a PNG.
_MAX_PARTS: dict[Format, tuple[bytes, int]] = {"JPEG": (b"Exif\0\0", 256), "PNG": (b"iCCP", 16)}
_MAX_SIDE = 65_535  # as of JPEG and GIF: Pillow allocates each row, and keeps Python's lock
_MAX_RUN_LENGTH_PIXELS = 4_000_000  # it decodes them in Python, 0.2 us a pixel


def check_parts(data: bytes, kind: Format) -> None:
    """Refuse a file with so many scans, EXIF segments or profiles that reading them takes long.

    Raises:
        BrokenImage: it is one.
    """
    name, most = _MAX_PARTS.get(kind, (b"", 0))
    if name and data.count(name) > most:
        raise BrokenImage(
            f"The {kind} image repeats its {name[:4].decode()} more than {most} times"
        )
    if kind == "JPEG" and data.count(_SCAN) > _MAX_SCANS and _scans(data) > _MAX_SCANS:
        raise BrokenImage(f"The JPEG image has more than {_MAX_SCANS} scans")


def check_pixels(image: ImageFile, max_pixels: int) -> None:
    """Refuse an opened image, whose pixels are not decoded yet, that has more than it may.

    Raises:
        TooManyPixels: it has.
    """
    if max(image.size) > _MAX_SIDE:
        raise TooManyPixels(
            f"The image has {image.width} x {image.height} pixels; "
            f"a side of at most {_MAX_SIDE} is read"
        )
    sizes = [image.size]
    if isinstance(image, TiffImageFile):  # tiles are decoded whole, however little of them is seen
        tags = image.tag_v2
        sizes.append((int(tags.get(TILEWIDTH, 0)), int(tags.get(TILELENGTH, 0))))
    width, height = max(sizes, key=math.prod)
    kind, most = "image", max_pixels
    if image.tile and image.tile[0].codec_name == "bmp_rle":
        kind, most = "run-length coded image", min(max_pixels, _MAX_RUN_LENGTH_PIXELS)
    if width * height > most:
        raise TooManyPixels(
            f"The {kind} has {width} x {height} pixels; at most {most / 1e6:g} megapixels are read"
        )


def _scans(data: bytes) -> int:
    """Count a JPEG's scans up to its end, behind which a film of the moment may follow."""
    scans, place = 0, len(b"\xff\xd8")
    while (marker := _JPEG_MARKER.search(data, place)) and marker.group() != _END:
        scans += marker.group() == _SCAN
        place = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2])
    return scans
