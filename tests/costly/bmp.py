"""BMPs that cost much."""

import struct

from raw_files import bmp

from costly.sizes import FULL, SIDE

_LINE_END, _END = b"\0\0", b"\0\1"
_RLE8, _RLE4 = 1, 2


def run_lengths() -> bytes:
    """Pillow decodes run-length coding in Python, here 50 megapixels."""
    line = SIDE // 255 * b"\xff\1" + bytes([SIDE % 255, 1]) + _LINE_END
    return bmp(SIDE, SIDE, 8, _RLE8, SIDE * line + _END)


def run_lengths_of_four_bits() -> bytes:
    """Pillow decodes run-length coding in Python, here 50 megapixels of 4 bits."""
    line = SIDE // 254 * b"\xfe\1" + bytes([SIDE % 254, 1]) + _LINE_END
    return bmp(SIDE, SIDE, 4, _RLE4, SIDE * line + _END)


def run_lengths_of_one() -> bytes:
    """Five million runs of one pixel."""
    return bmp(SIDE, SIDE, 8, _RLE8, FULL // 2 * b"\1\1" + _END)


def ended_lines() -> bytes:
    """Pillow fills each line behind its first pixel byte by byte: 58 bytes took 8 s in the past."""
    return bmp(SIDE, SIDE, 8, _RLE8, SIDE * (b"\1\1" + _LINE_END) + _END)


def moves() -> bytes:
    """Each move passes over 255 lines of 196,000 pixels."""
    return bmp(196_000, 255, 8, _RLE8, 1_000_000 * b"\0\2\xff\xff" + _END)


def column() -> bytes:
    """Pillow allocates each of two million rows of one pixel separately."""
    return bmp(1, FULL // 4, 8, 0, FULL // 4 * bytes(4))


def row() -> bytes:
    """One row of 50 million pixels of one bit."""
    return bmp(SIDE * SIDE, 1, 1, 0, bytes(SIDE * SIDE // 8 + 8))


def header_of_a_huge_picture() -> bytes:
    """The header promises 10,000 megapixels."""
    head = struct.pack("<IIIIiiHHII", 0, 0, 54, 40, 99_999, 99_999, 1, 24, 0, 0)
    return b"BM" + head + bytes(16)
