"""Uploads that would take too much time or memory are refused before they are decoded."""

import io
import struct
import zlib
from collections.abc import Callable

import pytest
from PIL import Image
from uploads import (
    EYE,
    FORMATS,
    LIMIT,
    PIL,
    answer,
    chunk,
    encode,
    photograph,
    png,
    tiff,
)

from app.errors import BrokenImage, TooManyPixels
from app.images.decoding import decode
from app.images.formats import Format


@pytest.mark.parametrize("kind", FORMATS)
def test_the_pixel_limit_is_inclusive(kind: Format) -> None:
    upload = encode(EYE, kind)
    assert decode(upload, PIL, 32 * 32).width == 32
    with pytest.raises(TooManyPixels, match="32 x 32"):
        decode(upload, PIL, 32 * 32 - 1)


@pytest.mark.parametrize(
    "header",
    [
        png(100_000, 100_000, 8, b""),
        b"GIF89a" + struct.pack("<HH", 65535, 65535) + bytes(3) + b"," + bytes(9) + b"\x08",
        b"BM" + struct.pack("<IIIIiiHHII", 0, 0, 54, 40, 99_999, 99_999, 1, 24, 0, 0) + bytes(16),
        b"\xff\xd8\xff\xc0"
        + struct.pack(">HBHHB", 11, 8, 65535, 65535, 1)
        + b"\1\x11\0\xff\xda\0\2",
        tiff((256, 99_999), (257, 99_999), (258, 8), (259, 1), (262, 1), (273, 8), (279, 8)),
    ],
    ids=["PNG", "GIF", "BMP", "JPEG", "TIFF"],
)
def test_the_pixel_limit_is_checked_before_decoding(header: bytes) -> None:
    # The uploads have no pixel data, so decoding them would raise BrokenImage instead.
    with pytest.raises(TooManyPixels):
        decode(header, PIL, LIMIT)


@pytest.mark.parametrize(("size", "fits"), [((1, 65_535), True), ((1, 65_536), False)])
def test_a_side_has_its_limit_too(size: tuple[int, int], fits: bool) -> None:
    """Without the limit, a column of 50 million pixels stopped the event loop for 0.3 s.

    The column was a TIFF of 70 kB.
    """
    for upload in (encode(Image.new("L", size), "TIFF"), encode(Image.new("L", size[::-1]), "PNG")):
        if fits:
            decode(upload, PIL, LIMIT)
        else:
            with pytest.raises(TooManyPixels, match="a side of at most 65535"):
                decode(upload, PIL, LIMIT)


def test_the_pixel_limit_counts_a_tiffs_tile() -> None:
    """libtiff decodes whole tiles: 1.5 MB of deflated zeros once took 1.6 GB and 6 s."""
    header = (256, 300), (257, 300), (258, 8), (259, 8), (262, 1)
    for side, error in ((40_000, TooManyPixels), (304, BrokenImage)):
        upload = tiff(*header, (322, side), (323, side), (324, 8), (325, 8))
        with pytest.raises(error):
            decode(upload, PIL, LIMIT)
    assert answer(encode(EYE, "TIFF")) is not None


def progressive(more_scans: int) -> bytes:
    """Return a progressive JPEG whose last scan is repeated `more_scans` times."""
    file = io.BytesIO()
    Image.fromarray(photograph("coffee")).save(file, "JPEG", progressive=True)
    content = file.getvalue()
    last = content[content.rindex(b"\xff\xda") : -2]
    return content[:-2] + more_scans * last + b"\xff\xd9"


def test_a_jpeg_of_scans_without_end_is_refused_before_it_is_decoded() -> None:
    decode(progressive(0), PIL, LIMIT)
    with pytest.raises(BrokenImage, match="has more than 64 scans"):
        decode(progressive(1000), PIL, LIMIT)


def jpeg_of_exif(segments: int) -> bytes:
    """Return a JPEG with so many EXIF segments; Pillow joins each to all segments before it."""
    content = encode(Image.new("RGB", (8, 8)), "JPEG")
    return content[:2] + segments * (b"\xff\xe1\x00\x10Exif\0\0" + bytes(8)) + content[2:]


def png_of_profiles(count: int) -> bytes:
    """Return a PNG with `count` colour profiles; Pillow inflates each to a megabyte."""
    content = encode(Image.new("RGB", (8, 8)), "PNG")
    profile = chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(1_000_000)))
    return content[:33] + count * profile + content[33:]


@pytest.mark.parametrize(
    ("draw", "few", "many", "what"),
    [(jpeg_of_exif, 200, 300, "Exif"), (png_of_profiles, 2, 20, "iCCP")],
)
def test_what_is_repeated_without_end_is_refused_before_it_is_read(
    draw: Callable[[int], bytes], few: int, many: int, what: str
) -> None:
    """Without the limit, a decoder took 20 s for 10 MB of EXIF and 40 s for 10 MB of profiles."""
    decode(draw(few), PIL, LIMIT)
    with pytest.raises(BrokenImage, match=f"repeats its {what}"):
        decode(draw(many), PIL, LIMIT)


def run_length_bmp(width: int, height: int) -> bytes:
    """Return a run-length coded BMP whose rows have one coded pixel and an end of line each."""
    runs = height * b"\1\1\0\0" + b"\0\1"
    greys = b"".join(bytes([n, n, n, 0]) for n in range(256))
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(runs), 0, 0, 256, 0)
    return b"BM" + struct.pack("<III", 0, 0, 54 + len(greys)) + head + greys + runs


def test_a_run_length_coded_bmp_may_have_fewer_pixels() -> None:
    """Pillow decodes run-length coding in Python: without the limit, 58 bytes took 8 s."""
    decode(run_length_bmp(200, 200), PIL, LIMIT)
    with pytest.raises(TooManyPixels, match="50000 x 100 pixels; at most 4 megapixels"):
        decode(run_length_bmp(50_000, 100), PIL, LIMIT)
    with pytest.raises(TooManyPixels, match=r"at most 0\.01 megapixels"):
        decode(run_length_bmp(200, 200), PIL, 10_000)


def test_what_stands_behind_a_jpeg_or_in_its_headers_are_no_scans() -> None:
    many = 100 * b"\xff\xda"
    content = progressive(0)
    decode(content + many, PIL, LIMIT)
    comment = b"\xff\xfe" + struct.pack(">H", len(many) + 2) + many
    decode(content[:2] + comment + content[2:], PIL, LIMIT)
