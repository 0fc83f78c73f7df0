"""PNGs that cost much."""

import struct
import zlib

from raw_files import chunk, deflated, png, png_of

from costly.sizes import FULL, SIDE


def _small(before: bytes = b"") -> bytes:
    return png(8, 8, 8, zlib.compress(8 * bytes(25)), before=before)


def text_chunks() -> bytes:
    """Pillow reads 300,000 text chunks one by one: 2.3 s in the past."""
    return _small(b"".join(chunk(b"tEXt", b"k%d\0v" % n) for n in range(300_000)))


def empty_chunks() -> bytes:
    """Pillow reads 800,000 chunks that it does not know one by one."""
    return _small(FULL // 12 * chunk(b"aaAa"))


def compressed_texts() -> bytes:
    """Pillow inflates 63 texts of a megabyte each, which is the most that it keeps."""
    return _small(63 * chunk(b"zTXt", b"k\0\0" + deflated(2**20)))


def international_texts() -> bytes:
    """Pillow inflates 63 texts, and keeps a Python string of each."""
    return _small(63 * chunk(b"iTXt", b"k\0\1\0\0\0" + deflated(2**20)))


def compressed_text_without_end() -> bytes:
    """A text of 1 GB is 1 MB; Pillow stops after a megabyte."""
    return _small(chunk(b"zTXt", b"k\0\0" + deflated(1_000_000_000)))


def colour_profiles() -> bytes:
    """Pillow inflates each of 9,000 colour profiles to a megabyte: 40 s in the past."""
    return _small(9_000 * chunk(b"iCCP", b"p\0\0" + deflated(1_000_000)))


def exif_entries() -> bytes:
    """Pillow reads 65,535 EXIF tags, and each has a value of its own."""
    entries = b"".join(struct.pack("<HHII", n, 7, 100, 786_438) for n in range(65_535))
    exif = b"II*\0\x08\0\0\0\xff\xff" + entries + bytes(4)
    return _small(chunk(b"eXIf", exif + bytes(FULL - len(exif))))


def pixels_in_pieces() -> bytes:
    """Pillow's decoder gets the pixels in 700,000 chunks of one byte each."""
    pixels = zlib.compress(b"".join(b"\0" + bytes(range(256)) * 9 for _ in range(300)), 0)
    head = struct.pack(">IIBBBBB", 768, 300, 8, 2, 0, 0, 0)
    pieces = b"".join(chunk(b"IDAT", bytes([byte])) for byte in pixels)
    return png_of(chunk(b"IHDR", head), pieces)


def empty_pixel_chunks() -> bytes:
    """Pillow passes over 800,000 empty chunks of pixels before the first that has some."""
    return _small(FULL // 12 * chunk(b"IDAT"))


def zeros() -> bytes:
    """50 megapixels of 16 bits with alpha are 400 MB that deflate to 400 kB."""
    return png(SIDE, SIDE, 16, deflated(SIDE * (8 * SIDE + 1)), colour=6)


def filtered_zeros() -> bytes:
    """Pillow computes the costliest filter for each byte of 50 megapixels."""
    row = b"\4" + bytes(4 * SIDE)
    return png(SIDE, SIDE, 8, deflated(SIDE * len(row), row), colour=6)


def interlaced_zeros() -> bytes:
    """Pillow puts single pixels in seven passes to their places."""
    head = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 6, 0, 0, 1)
    pixels = deflated(SIDE * (4 * SIDE + 1) + 2**20)
    return png_of(chunk(b"IHDR", head), chunk(b"IDAT", pixels))


def transparent_palette() -> bytes:
    """A palette with transparency takes a byte a pixel, and 9 more to be laid on white."""
    palette = chunk(b"PLTE", bytes(768)) + chunk(b"tRNS", bytes(256))
    return png(SIDE, SIDE, 8, deflated(SIDE * (SIDE + 1)), colour=3, before=palette)


def transparent_bits() -> bytes:
    """50 megapixels of one bit are 6 MB; with a transparent colour they take 10 bytes a pixel."""
    key = chunk(b"tRNS", b"\0\0")
    return png(SIDE, SIDE, 1, deflated(SIDE * (SIDE // 8 + 2)), colour=0, before=key)


def column() -> bytes:
    """Pillow allocates each of 50 million rows of one pixel separately."""
    return png(1, SIDE * SIDE, 8, deflated(4 * SIDE * SIDE))


def row() -> bytes:
    """One row of 50 million pixels."""
    return png(SIDE * SIDE, 1, 8, deflated(3 * SIDE * SIDE + 1))


def header_of_a_huge_picture() -> bytes:
    """The header promises 10,000 megapixels, and the file has none."""
    return png(100_000, 100_000, 8, b"")
