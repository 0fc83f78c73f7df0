"""Limits for images, because decoding a crafted file of a few bytes could take a minute."""

import math
import re

from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import TILELENGTH, TILEWIDTH, TiffImageFile

from app.errors import BrokenImage, TooManyPixels
from app.images.formats import Format

# A progressive JPEG has about ten scans. The decoder passes over all pixels for each scan, although
# a scan may take only 40 bytes of the file.
_MAX_SCANS = 64
# The markers that stand within the data of a scan (0x00, restarts, fill bytes) are left out.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_SCAN, _END = b"\xff\xda", b"\xff\xd9"
# A file may have a segment of this name only so many times. Pillow joins the EXIF segments of a
# JPEG one by one, and it inflates every colour profile of a PNG.
_MAX_SEGMENTS: dict[Format, tuple[bytes, int]] = {
    "JPEG": (b"Exif\0\0", 256),
    "PNG": (b"iCCP", 16),
}
# JPEG and GIF cannot have longer sides. For other formats the limit is needed because Pillow
# allocates each row separately and holds Python's lock meanwhile.
_MAX_SIDE = 65_535  # pixels
# Pillow decodes run-length coded BMPs in Python, which takes 0.2 us a pixel.
_MAX_RUN_LENGTH_PIXELS = 4_000_000


def check_segments(data: bytes, kind: Format) -> None:
    """Check that a file does not have too many scans, EXIF segments or colour profiles.

    Raises:
        BrokenImage: the file has so many of them that reading them would take long.
    """
    name, limit = _MAX_SEGMENTS.get(kind, (b"", 0))
    if name and data.count(name) > limit:
        raise BrokenImage(
            f"The {kind} image repeats its {name[:4].decode()} more than {limit} times"
        )
    if kind == "JPEG" and data.count(_SCAN) > _MAX_SCANS and _scans(data) > _MAX_SCANS:
        raise BrokenImage(f"The JPEG image has more than {_MAX_SCANS} scans")


def check_pixels(image: ImageFile, max_pixels: int) -> None:
    """Check the size of an opened image before its pixels are decoded.

    Raises:
        TooManyPixels: the image, its tiles or one of its sides has more pixels than allowed.
    """
    if max(image.size) > _MAX_SIDE:
        raise TooManyPixels(
            f"The image has {image.width} x {image.height} pixels; "
            f"a side of at most {_MAX_SIDE} is allowed"
        )
    sizes = [image.size]
    if isinstance(image, TiffImageFile):
        # libtiff decodes whole tiles, even if a tile is much larger than the image.
        tags = image.tag_v2
        sizes.append((int(tags.get(TILEWIDTH, 0)), int(tags.get(TILELENGTH, 0))))
    width, height = max(sizes, key=math.prod)
    kind, limit = "image", max_pixels
    if image.tile and image.tile[0].codec_name == "bmp_rle":
        kind, limit = "run-length coded image", min(max_pixels, _MAX_RUN_LENGTH_PIXELS)
    if width * height > limit:
        raise TooManyPixels(
            f"The {kind} has {width} x {height} pixels; "
            f"at most {limit / 1e6:g} megapixels are allowed"
        )


def _scans(data: bytes) -> int:
    """Count the scans of a JPEG up to its end marker; a phone may append a short video to it."""
    scans, position = 0, len(b"\xff\xd8")
    while (marker := _JPEG_MARKER.search(data, position)) and marker.group() != _END:
        scans += marker.group() == _SCAN
        position = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2])
    return scans
