"""Files that are written byte by byte, because no encoder would write them."""

import struct
import zlib
from collections.abc import Iterable


def deflated(size: int, unit: bytes = bytes(2**20)) -> bytes:
    """Return `size` bytes in zlib's format: `unit` again and again, but it is packed only once."""
    times, rest = divmod(size, len(unit))
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(unit) + packer.flush(zlib.Z_FULL_FLUSH)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    last = packer.compress(unit[:rest]) + packer.flush()
    check = 1
    for _ in range(times):
        check = zlib.adler32(unit, check)
    check = zlib.adler32(unit[:rest], check)
    return b"\x78\xda" + times * packed + last + struct.pack(">I", check)


def segment(marker: int, content: bytes = b"") -> bytes:
    """Return one segment of a JPEG."""
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def chunk(name: bytes, content: bytes = b"") -> bytes:
    """Return one chunk of a PNG."""
    crc = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + crc


def png(
    width: int,
    height: int,
    depth: int,
    pixels: bytes,
    *,
    colour: int = 2,
    before: bytes = b"",
) -> bytes:
    """Return a PNG; `pixels` is the content of its one IDAT, `before` the chunks before it."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return png_of(chunk(b"IHDR", header), before, chunk(b"IDAT", pixels))


def png_of(*chunks: bytes) -> bytes:
    """Return a PNG of these chunks, and its end."""
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + chunk(b"IEND")


def tiff(*tags: tuple[int, int]) -> bytes:
    """Return a TIFF that has only these tags, with a number each."""
    return b"II*\0" + struct.pack("<I", 8) + ifd(tags)


def ifd(tags: Iterable[tuple[int, int]], next_at: int = 0) -> bytes:
    """Return one directory of a TIFF; `next_at` is where the file has the next one."""
    entries = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags)]
    return struct.pack("<H", len(entries)) + b"".join(entries) + struct.pack("<I", next_at)


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    """Return a WebP of these chunks."""
    content = b"".join(riff_chunk(*each) for each in chunks)
    return b"RIFF" + struct.pack("<I", len(content) + 4) + b"WEBP" + content


def riff_chunk(name: bytes, content: bytes = b"") -> bytes:
    """Return one chunk of a WebP, padded to an even length."""
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


def bmp(width: int, height: int, bits: int, compression: int, pixels: bytes) -> bytes:
    """Return a BMP with a palette of all greys; compression 1 and 2 mean run-length coding."""
    colours = min(2**bits, 256)
    greys = b"".join(bytes([n, n, n, 0]) for n in range(colours))
    head = struct.pack(
        "<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(pixels), 0, 0, colours, 0
    )
    return b"BM" + struct.pack("<III", 0, 0, 54 + len(greys)) + head + greys + pixels
