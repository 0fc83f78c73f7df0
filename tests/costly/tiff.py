"""TIFFs that cost much."""

import io
import struct

from PIL import Image
from raw_files import deflated, ifd, tiff

from costly.sizes import FULL, SIDE

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, STRIPS = 256, 257, 258, 259, 262, 273
ROWS_PER_STRIP, STRIP_BYTES = 278, 279
TILE_WIDTH, TILE_HEIGHT, TILES, TILE_BYTES = 322, 323, 324, 325
DEFLATE = 8


def _saved(mode: str, compression: str, size: tuple[int, int] = (SIDE, SIDE)) -> bytes:
    file = io.BytesIO()
    Image.new(mode, size).save(file, "TIFF", compression=compression)
    return file.getvalue()


def _strip(width: int, height: int, pixels: bytes) -> bytes:
    """Return a grey, deflated TIFF whose only strip lies behind its directory."""
    tags = {
        (WIDTH, width),
        (HEIGHT, height),
        (BITS, 8),
        (COMPRESSION, DEFLATE),
        (PHOTOMETRIC, 1),
        (STRIPS, 8 + 2 + 8 * 12 + 4),
        (ROWS_PER_STRIP, height),
        (STRIP_BYTES, len(pixels)),
    }
    return tiff(*tags) + pixels


def _of_tiles(width: int, height: int, tile: int, pixels: bytes) -> bytes:
    """Return a grey, deflated TIFF whose only tile lies behind its directory."""
    tags = {
        (WIDTH, width),
        (HEIGHT, height),
        (BITS, 8),
        (COMPRESSION, DEFLATE),
        (PHOTOMETRIC, 1),
        (TILE_WIDTH, tile),
        (TILE_HEIGHT, tile),
        (TILES, 8 + 2 + 9 * 12 + 4),
        (TILE_BYTES, len(pixels)),
    }
    return tiff(*tags) + pixels


def huge_tile() -> bytes:
    """libtiff decodes whole tiles: this one of 1.6 GB took 6 s in the past."""
    return _of_tiles(300, 300, 40_000, deflated(40_000 * 40_000))


def tile_as_large_as_allowed() -> bytes:
    """A picture of 300 x 300 pixels has a tile of 50 megapixels."""
    return _of_tiles(300, 300, 7056, deflated(7056 * 7056))


def one_strip() -> bytes:
    """libtiff decodes the only strip in one piece."""
    return _strip(SIDE, SIDE, deflated(SIDE * SIDE))


def inflated_pixels() -> bytes:
    """50 megapixels with alpha are 200 kB."""
    return _saved("RGBA", "tiff_adobe_deflate")


def lzw_pixels() -> bytes:
    """50 megapixels with alpha, coded with LZW."""
    return _saved("RGBA", "tiff_lzw")


def run_length_pixels() -> bytes:
    """50 megapixels with alpha, run-length coded."""
    return _saved("RGBA", "packbits")


def zstd_pixels() -> bytes:
    """50 megapixels with alpha are 20 kB."""
    return _saved("RGBA", "zstd")


def lzma_pixels() -> bytes:
    """50 megapixels that are packed with LZMA, the slowest packer that libtiff knows."""
    return _saved("L", "lzma")


def jpeg_pixels() -> bytes:
    """50 megapixels in strips that are JPEGs."""
    return _saved("RGB", "jpeg")


def fax_pixels() -> bytes:
    """50 megapixels of one bit, coded as by a fax machine."""
    return _saved("1", "group4")


def column() -> bytes:
    """Pillow allocates each of 50 million rows of one pixel separately; the file has 70 kB."""
    return _strip(1, SIDE * SIDE, deflated(SIDE * SIDE))


def row() -> bytes:
    """One row of 50 million pixels."""
    return _strip(SIDE * SIDE, 1, deflated(SIDE * SIDE))


def strips_of_one_row() -> bytes:
    """Each of a million rows is a strip, and all strips are the same eight bytes."""
    rows = 1_000_000
    pixels = deflated(40)
    start = 8 + 2 + 8 * 12 + 4
    offsets, sizes = start + len(pixels), start + len(pixels) + 4 * rows
    entries = [
        (WIDTH, 4, 1, 40),
        (HEIGHT, 4, 1, rows),
        (BITS, 4, 1, 8),
        (COMPRESSION, 4, 1, DEFLATE),
        (PHOTOMETRIC, 4, 1, 1),
        (STRIPS, 4, rows, offsets),
        (ROWS_PER_STRIP, 4, 1, 1),
        (STRIP_BYTES, 4, rows, sizes),
    ]
    directory = struct.pack("<H", 8) + b"".join(struct.pack("<HHII", *each) for each in entries)
    tables = rows * struct.pack("<I", start) + rows * struct.pack("<I", len(pixels))
    return b"II*\0\x08\0\0\0" + directory + bytes(4) + pixels + tables


# A directory of one strip, which is not compressed.
_DIRECTORY = (
    (WIDTH, 8),
    (HEIGHT, 8),
    (BITS, 8),
    (COMPRESSION, 1),
    (PHOTOMETRIC, 1),
    (STRIPS, 8),
    (ROWS_PER_STRIP, 8),
    (STRIP_BYTES, 64),
)
_SIZE = len(ifd(_DIRECTORY))


def directories() -> bytes:
    """There are 90,000 directories, and each names the next one."""
    starts = range(8, FULL - _SIZE, _SIZE)
    return b"II*\0\x08\0\0\0" + b"".join(ifd(_DIRECTORY, start + _SIZE) for start in starts)


def looping_directories() -> bytes:
    """Each of two directories names the other one as the next."""
    return b"II*\0\x08\0\0\0" + ifd(_DIRECTORY, 8 + _SIZE) + ifd(_DIRECTORY, 8)


def tags() -> bytes:
    """Each of 65,535 tags has 140 numbers."""
    start = 8 + 2 + 65_535 * 12 + 4
    entries = b"".join(struct.pack("<HHII", n, 3, 70, start + 140 * n) for n in range(65_535))
    directory = b"\xff\xff" + entries + bytes(4)
    return b"II*\0\x08\0\0\0" + directory + bytes(140 * 65_535)


def header_of_a_huge_picture() -> bytes:
    """The header promises 25 megapixels a byte of the file."""
    return tiff((WIDTH, 256), (HEIGHT, 99_999_999), (BITS, 8), (COMPRESSION, 1), (PHOTOMETRIC, 1))
