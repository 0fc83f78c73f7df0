"""JPEGs that cost much."""

import io
import struct

from PIL import Image
from raw_files import segment

from costly.sizes import FULL, SIDE


def _saved(image: Image.Image, **options: bool) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    return file.getvalue()


def _small() -> bytes:
    return _saved(Image.new("RGB", (8, 8)))


def _with_segments(segments: bytes) -> bytes:
    small = _small()
    return small[:2] + segments + small[2:]


def _with_scans(image: Image.Image, scans: int) -> bytes:
    content = _saved(image, progressive=True)
    last = content[content.rindex(b"\xff\xda") : -2]
    return content[:-2] + scans * last + b"\xff\xd9"


def scans_of_a_large_picture() -> bytes:
    """Each of 2,000 scans takes 100 bytes, and libjpeg passes over all pixels for it."""
    return _with_scans(Image.new("L", (SIDE, SIDE)), 2_000)


def scans_of_a_small_picture() -> bytes:
    """libjpeg begins 300,000 times with a scan of one block."""
    return _with_scans(Image.new("L", (8, 8)), 300_000)


def exif_segments() -> bytes:
    """Pillow joins each of 500,000 EXIF segments to all before it: 20 s in the past."""
    return _with_segments(500_000 * segment(0xE1, b"Exif\0\0" + bytes(8)))


def comments() -> bytes:
    """Pillow keeps a Python object for each of two million empty comments."""
    return _with_segments(FULL // 4 * segment(0xFE))


def quantization_tables() -> bytes:
    """Pillow reads 150,000 tables number by number, and copies the segment's rest for each."""
    tables = segment(0xDB, 1000 * (b"\0" + bytes(range(1, 65))))
    return _with_segments(FULL // len(tables) * tables)


def frame_headers() -> bytes:
    """Pillow reads 100,000 frame headers, and keeps the channels of all."""
    header = segment(0xC0, struct.pack(">BHHB", 8, 8, 8, 3) + 28 * b"\1\x11\0")
    return _with_segments(FULL // len(header) * header)


def fill_bytes() -> bytes:
    """Pillow reads millions of fill bytes before a marker one by one."""
    return _with_segments(FULL * b"\xff")


def progressive_cmyk() -> bytes:
    """libjpeg keeps all coefficients of four channels, 8 bytes a pixel, before the first row."""
    return _saved(Image.new("CMYK", (SIDE, SIDE)), progressive=True)


def longest_side() -> bytes:
    """A JPEG cannot be wider; its 50 megapixels are 763 rows."""
    return _saved(Image.new("RGB", (65_500, 763)))


def header_of_a_huge_picture() -> bytes:
    """The header promises 4,295 megapixels."""
    frame = segment(0xC0, struct.pack(">BHHB", 8, 65_535, 65_535, 1) + b"\1\x11\0")
    return b"\xff\xd8" + frame + b"\xff\xda\0\2"
