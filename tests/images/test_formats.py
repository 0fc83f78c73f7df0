"""The formats and colour modes of uploads: each becomes 8-bit RGB, or is refused."""

import io
import struct
import subprocess
import sys
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from PIL import Image
from raw_files import chunk, png, tiff
from uploads import (
    CAT,
    EYE,
    FORMATS,
    LIMIT,
    PIL,
    difference,
    encode,
    exact,
    photograph,
    png_of_16_bits,
)

from app.errors import EmptyFile, UnsupportedImage
from app.images.decoding import decode
from app.images.formats import Format, is_image, sniff

LOSSLESS: tuple[Format, ...] = ("PNG", "WEBP", "BMP", "TIFF")

# Formats


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_is_read(kind: Format) -> None:
    photo = decode(encode(CAT, kind), PIL, LIMIT)
    assert (photo.width, photo.height, photo.format) == (451, 300, kind)
    assert photo.pixels.shape == (224, 224, 3)
    assert photo.pixels.dtype == np.uint8
    assert photo.pixels.flags.c_contiguous


@pytest.mark.parametrize("kind", LOSSLESS)
def test_lossless_formats_give_their_pixels(kind: Format) -> None:
    assert np.array_equal(exact(encode(EYE, kind)), EYE)


@pytest.mark.parametrize("compression", ["raw", "tiff_adobe_deflate", "packbits", "jpeg"])
@pytest.mark.parametrize("big", [False, True])
def test_tiff_is_read_whatever_its_compression(compression: str, big: bool) -> None:
    pixels = exact(encode(EYE, "TIFF", compression=compression, big_tiff=big))
    assert difference(pixels, EYE).mean() < (8 if compression == "jpeg" else 0.001)


@pytest.mark.parametrize("kind", ["JPEG", "GIF", "AVIF", "HEIF"])
def test_lossy_formats_come_near(kind: str) -> None:
    assert difference(exact(encode(EYE, kind)), EYE).mean() < 5


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF", "AVIF", "HEIF", "MPO"])
def test_the_first_frame_counts(kind: str) -> None:
    red, blue = Image.new("RGB", (32, 32), "red"), Image.new("RGB", (32, 32), "blue")
    upload = encode(red, kind, save_all=True, append_images=[blue])
    with Image.open(io.BytesIO(upload)) as image:
        assert getattr(image, "n_frames", 1) == 2
    assert difference(exact(upload), np.array([255, 0, 0])).max() <= 4


def test_the_primary_picture_of_a_heif_counts_where_it_is_not_the_first() -> None:
    red, blue = Image.new("RGB", (32, 32), "red"), Image.new("RGB", (32, 32), "blue")
    upload = encode(red, "HEIF", save_all=True, append_images=[blue], primary_index=1)
    assert difference(exact(upload), np.array([0, 0, 255])).max() <= 4


def test_an_mpo_is_a_jpeg_and_reduced_like_one() -> None:
    """Phones write an MPO for two lenses, or for a picture with a map of its bright parts."""
    large = Image.fromarray(CAT).resize((4000, 3000))
    upload = encode(large, "MPO", save_all=True, append_images=[Image.new("L", (500, 375))])
    photo, plain = (decode(data, PIL, LIMIT) for data in (upload, encode(large, "JPEG")))
    assert (photo.width, photo.height, photo.format) == (4000, 3000, "JPEG")
    assert difference(photo.pixels, plain.pixels).mean() < 2


@pytest.mark.parametrize(
    ("brands", "kind"),
    [
        (b"avif\0\0\0\0mif1", "AVIF"),
        (b"avis\0\0\0\0avif", "AVIF"),
        (b"mif1\0\0\0\0mif1miafavif", "AVIF"),
        (b"heic\0\0\0\0mif1heic", "HEIF"),
        (b"hevc\0\0\0\0msf1", "HEIF"),
        (b"mif1\0\0\0\0mif1heic", "HEIF"),
        (b"mif1", "HEIF"),
    ],
)
def test_the_brands_of_a_container_tell_its_format(brands: bytes, kind: str) -> None:
    head = struct.pack(">I", 8 + len(brands)) + b"ftyp" + brands
    assert sniff(head + b"\0\0\0\x10avifavif") == kind


def test_a_film_is_no_photo() -> None:
    with pytest.raises(UnsupportedImage):
        sniff(b"\0\0\0\x18ftypisom\0\0\0\0isomavif")


def test_without_its_package_a_heif_is_unsupported_and_the_error_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['pillow_heif'] = None;"
        "from app.errors import UnsupportedImage; from app.images.decoding import decode_full\n"
        "try: decode_full(sys.stdin.buffer.read(), 9999)\n"
        "except UnsupportedImage as error: print(error)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], input=encode(EYE, "HEIF"), capture_output=True, check=True
    )
    assert b"`pip install pillow-heif`" in run.stdout


@pytest.mark.parametrize("kind", ["ICO", "PPM", "TGA", "JPEG2000", "PDF", "EPS"])
def test_other_formats_are_unsupported(kind: str) -> None:
    with pytest.raises(UnsupportedImage, match="JPEG, PNG, WEBP, BMP, GIF, TIFF, AVIF, HEIF"):
        decode(encode(EYE, kind), PIL, LIMIT)


@pytest.mark.parametrize("upload", [b"<svg/>", b"hello", b"\0", b"\xff\xd8", b"RIFF\0\0\0\0WAVE"])
def test_what_is_no_image_is_unsupported(upload: bytes) -> None:
    with pytest.raises(UnsupportedImage):
        decode(upload, PIL, LIMIT)


def test_nothing_is_an_empty_file() -> None:
    with pytest.raises(EmptyFile):
        decode(b"", PIL, LIMIT)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_files_first_twelve_bytes_show_that_it_is_an_image(kind: Format) -> None:
    assert is_image(encode(EYE, kind)[:12])


@pytest.mark.parametrize("content", [b"", b"hello"])
def test_other_content_is_no_image(content: bytes) -> None:
    assert not is_image(content)


# Modes


def test_grey_becomes_rgb() -> None:
    camera = photograph("camera")[100:132, 200:232]
    assert np.array_equal(exact(encode(camera, "PNG")), np.repeat(camera[..., None], 3, axis=2))


def test_one_bit_becomes_black_and_white() -> None:
    board = np.indices((32, 32)).sum(axis=0) % 2 == 0
    pixels = exact(encode(Image.fromarray(board), "PNG"))
    assert np.array_equal(pixels, np.repeat(board[..., None] * np.uint8(255), 3, axis=2))


@pytest.mark.parametrize(("kind", "dtype"), [("PNG", "<u2"), ("TIFF", "<u2"), ("TIFF", ">u2")])
def test_16_bit_grey_keeps_its_high_byte(kind: str, dtype: str) -> None:
    deep = (np.arange(1024, dtype=np.uint32) * 64 + 63).reshape(32, 32).astype(dtype)
    upload = encode(deep, kind, **({"compression": "raw"} if kind == "TIFF" else {}))
    with Image.open(io.BytesIO(upload)) as image:
        assert image.mode.startswith("I;16")
    assert np.array_equal(exact(upload)[..., 0], deep >> 8)


def written_tiff(pixels: npt.NDArray[Any], **options: Any) -> bytes:  # noqa: ANN401
    """Return a TIFF of a kind that Pillow cannot write."""
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_16_bit_tiff_may_count_from_white(compression: str | None) -> None:
    deep = EYE[..., 0].astype(np.uint16) << 8
    upload = written_tiff(~deep, photometric="miniswhite", compression=compression)
    assert np.array_equal(exact(upload)[..., 0], EYE[..., 0])


def test_a_tiff_of_12_bits_is_not_dark() -> None:
    bits = "".join(f"{value:08b}0000" for value in EYE[..., 0].ravel())
    pixels = int(bits, 2).to_bytes(len(bits) // 8)
    tags = (256, 32), (257, 32), (258, 12), (259, 1), (262, 1), (277, 1), (278, 32)
    header = 8 + 2 + 12 * 9 + 4
    upload = tiff(*tags, (273, header), (279, len(pixels))) + pixels
    assert np.array_equal(exact(upload)[..., 0], EYE[..., 0])


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_tiff_of_16_bit_planes_is_no_noise(byteorder: str, compression: str | None) -> None:
    planes = np.ascontiguousarray(EYE.transpose(2, 0, 1)).astype(np.uint16) << 8
    upload = written_tiff(
        planes,
        photometric="rgb",
        planarconfig="separate",
        byteorder=byteorder,
        compression=compression,
    )
    assert np.array_equal(exact(upload), EYE)


def test_16_bit_rgb_keeps_its_high_byte() -> None:
    assert np.array_equal(exact(png_of_16_bits(EYE)), EYE)


def test_palette_becomes_rgb() -> None:
    palette = Image.fromarray(EYE).quantize(64)
    assert np.array_equal(exact(encode(palette, "PNG")), np.asarray(palette.convert("RGB")))


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_the_transparent_colour_of_a_palette_becomes_white(kind: str) -> None:
    indices = np.arange(1024, dtype=np.uint8).reshape(32, 32) % 2
    image = Image.frombytes("P", (32, 32), indices.tobytes())
    image.putpalette([255, 0, 0, 0, 0, 255])
    expected = np.where(indices[..., None] == 0, (255, 255, 255), (0, 0, 255))
    assert np.array_equal(exact(encode(image, kind, transparency=0)), expected)


def test_a_palette_of_half_transparent_colours_lies_on_white() -> None:
    image = Image.new("P", (32, 32), 1)
    image.putpalette([0, 0, 0, 255, 0, 0])
    pixels = exact(encode(image, "PNG", transparency=bytes([0, 128])))
    assert difference(pixels, np.array([255, 127, 127])).max() <= 1


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_alpha_lies_on_white(kind: str) -> None:
    alpha = np.tile(np.arange(0, 256, 8, dtype=np.uint8), (32, 1))
    upload = encode(np.dstack([EYE, alpha]), kind, **({"exact": True} if kind == "WEBP" else {}))
    weight = alpha[..., None] / 255
    off = difference(exact(upload), np.rint(EYE * weight + 255 * (1 - weight)))
    assert off.max() <= (16 if kind in ("AVIF", "HEIF") else 1)
    assert off.mean() < 2


def test_grey_with_alpha_lies_on_white() -> None:
    grey = np.dstack([np.full((32, 32), 100), np.full((32, 32), 51)]).astype(np.uint8)
    assert difference(exact(encode(grey, "PNG")), np.array(224)).max() <= 1


@pytest.mark.parametrize("key", [(255, 0, 0), (1, 2, 3)])
def test_the_one_transparent_colour_of_an_rgb_png_becomes_white(key: tuple[int, ...]) -> None:
    image = Image.new("RGB", (32, 32), key)
    image.paste((0, 0, 255), (0, 0, 16, 32))
    pixels = exact(encode(image, "PNG", transparency=key))
    assert (pixels[:, :16] == (0, 0, 255)).all()
    assert (pixels[:, 16:] == 255).all()


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_the_one_transparent_grey_of_a_png_becomes_white(depth: int) -> None:
    levels = 2**depth
    grey = np.arange(1024).reshape(32, 32) % levels
    bits = ["".join(f"{value:0{depth}b}" for value in row) for row in grey]
    rows = b"".join(b"\0" + int(row, 2).to_bytes(4 * depth) for row in bits)
    key = chunk(b"tRNS", struct.pack(">H", 1))
    pixels = exact(png(32, 32, depth, zlib.compress(rows), colour=0, before=key))
    assert np.array_equal(pixels[..., 0], np.where(grey == 1, 255, grey * 255 // (levels - 1)))


@pytest.mark.parametrize(("alpha", "left"), [(0, 200), (128, 227), (255, 200)])
def test_a_bmps_alpha_counts_where_it_has_any(alpha: int, left: int) -> None:
    """If all alpha bytes are 0, the writer did not use them; such pictures once came out white."""
    rows = bytes([200, 200, 200, alpha]) * 1024
    masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    head = struct.pack("<IiiHHIIiiII", 108, 32, 32, 1, 32, 3, len(rows), 0, 0, 0, 0)
    header = head + masks + bytes(108 - len(head) - len(masks))
    upload = b"BM" + struct.pack("<III", 0, 0, 14 + len(header)) + header + rows
    assert difference(exact(upload), np.array(left)).max() <= 1


@pytest.mark.parametrize("adobe", [True, False])
def test_cmyk_jpeg_comes_near_its_rgb(adobe: bool) -> None:
    upload = encode(Image.fromarray(EYE).convert("CMYK"), "JPEG")
    start = upload.index(b"\xff\xee\x00\x0eAdobe")
    # Programs invert the values of a CMYK JPEG, whether they write Adobe's marker or not.
    if not adobe:
        upload = upload[:start] + upload[start + 16 :]
    assert difference(exact(upload), EYE).mean() < 3


def test_cmyk_tiff_gives_its_rgb() -> None:
    assert difference(exact(encode(Image.fromarray(EYE).convert("CMYK"), "TIFF")), EYE).max() < 3


@pytest.mark.parametrize("mode", ["F", "I", "LAB"])
def test_modes_without_8_bit_colours_are_unsupported(mode: str) -> None:
    with pytest.raises(UnsupportedImage):
        decode(encode(Image.new(mode, (32, 32)), "TIFF"), PIL, LIMIT)
