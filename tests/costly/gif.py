"""GIFs that cost much."""

import io
import struct

from PIL import Image

from costly.sizes import FULL, SIDE

# The smallest picture: its size of a code, one block of codes, the end.
_PIXEL = b"\x02\x02\x44\x01\0"


def _head(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0xF0, 0, 0) + bytes(6)


def _frame(width: int = 1, height: int = 1, codes: bytes = _PIXEL) -> bytes:
    return b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + codes


def comments() -> bytes:
    """Pillow joins two million comments of one byte: once, each to all before it."""
    return _head(1, 1) + FULL // 5 * b"!\xfe\1a\0" + _frame() + b";"


def blocks_of_a_comment() -> bytes:
    """Pillow reads one comment in five million blocks of one byte."""
    return _head(1, 1) + b"!\xfe" + FULL // 2 * b"\1a" + b"\0" + _frame() + b";"


def extensions() -> bytes:
    """Pillow passes over two million extensions of one byte."""
    return _head(1, 1) + FULL // 5 * b"!\1\1a\0" + _frame() + b";"


def frames() -> bytes:
    """There are 600,000 frames, and the first one counts."""
    return _head(SIDE, SIDE) + FULL // len(_frame()) * _frame() + b";"


def large_screen() -> bytes:
    """A screen of 50 megapixels shows one pixel."""
    return _head(SIDE, SIDE) + _frame() + b";"


def largest_screen() -> bytes:
    """The header promises 4,295 megapixels."""
    return _head(65_535, 65_535) + _frame() + b";"


def frame_beside_the_screen() -> bytes:
    """A frame outside of the screen makes the picture larger than the header says."""
    frame = b"," + struct.pack("<HHHHB", 65_535, 65_535, 65_535, 65_535, 0)
    return _head(1, 1) + frame + _PIXEL + b";"


def zeros() -> bytes:
    """50 megapixels are 80 kB of codes; with a transparent colour they take 10 bytes a pixel."""
    file = io.BytesIO()
    Image.new("P", (SIDE, SIDE)).save(file, "GIF", transparency=0)
    return file.getvalue()


def longest_side() -> bytes:
    """A GIF cannot be wider; its 50 megapixels are 763 rows."""
    file = io.BytesIO()
    Image.new("P", (65_535, 762)).save(file, "GIF")
    return file.getvalue()
