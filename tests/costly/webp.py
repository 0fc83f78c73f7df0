"""WebPs that cost much."""

import io
import random
import struct

from PIL import Image
from raw_files import riff, riff_chunk

from costly.sizes import FULL, SIDE

_ANIMATED, _ALPHA = 2, 16


def _saved(mode: str, *, lossless: bool = False) -> bytes:
    file = io.BytesIO()
    Image.new(mode, (SIDE, SIDE)).save(file, "WEBP", lossless=lossless, quality=1, method=0)
    return file.getvalue()


def _canvas(width: int, height: int, flags: int) -> bytes:
    size = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    return struct.pack("<I", flags) + size


def _pixel() -> bytes:
    file = io.BytesIO()
    Image.new("RGBA", (1, 1)).save(file, "WEBP", lossless=True, method=0)
    return file.getvalue()[12:]


def _frame(content: bytes) -> tuple[bytes, bytes]:
    return b"ANMF", bytes(16) + content


def transparent_zeros() -> bytes:
    """34 bytes are 50 megapixels with alpha: 16 bytes a pixel, the most of all formats."""
    return _saved("RGBA", lossless=True)


def lossy_zeros() -> bytes:
    """50 megapixels without alpha."""
    return _saved("RGB")


def lossy_alpha() -> bytes:
    """The alpha of a lossy WebP is an image of its own."""
    file = io.BytesIO()
    Image.new("RGBA", (SIDE, SIDE), (9, 9, 9, 9)).save(file, "WEBP", quality=1, method=0)
    return file.getvalue()


def noise() -> bytes:
    """9 MB of noise, coded without loss, have a code of its own for nearly each pixel."""
    size = 2000, 1100
    pixels = random.Random(1).randbytes(4 * size[0] * size[1])  # noqa: S311
    file = io.BytesIO()
    image = Image.frombytes("RGBA", size, pixels)
    image.save(file, "WEBP", lossless=True, quality=0, method=0, exact=True)
    return file.getvalue()


def header_of_a_huge_picture() -> bytes:
    """libwebp allocates two canvases of 268 megapixels before Pillow tells their size."""
    canvas = _canvas(16_384, 16_384, _ANIMATED | _ALPHA)
    return riff((b"VP8X", canvas), (b"ANIM", bytes(6)), _frame(_pixel()))


def frames() -> bytes:
    """An animation has 150,000 frames of one pixel; the first one counts."""
    frame = riff_chunk(*_frame(_pixel()))
    rest = FULL // len(frame) * frame
    whole = riff((b"VP8X", _canvas(SIDE, SIDE, _ANIMATED | _ALPHA)), (b"ANIM", bytes(6)))
    content = whole[8:] + rest
    return b"RIFF" + struct.pack("<I", len(content)) + content


def chunks() -> bytes:
    """libwebp keeps a record for each of a million chunks that it does not know."""
    whole = riff((b"VP8X", _canvas(1, 1, _ALPHA)))
    content = whole[8:] + _pixel() + FULL // 8 * riff_chunk(b"abcd")
    return b"RIFF" + struct.pack("<I", len(content)) + content
