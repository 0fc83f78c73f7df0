"""Uploads of every kind: upright RGB of the network's size, or an error of ours; nothing else."""

import io
import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from PIL import ExifTags, Image
from PIL.Image import Resampling
from skimage import data

from app.errors import (
    BrokenImage,
    EmptyFile,
    ServiceError,
    TooManyPixels,
    UnsupportedImage,
)
from app.images.decoding import Photo, decode
from app.images.formats import Format, sniff
from app.images.preprocessing import Preprocessing

Pixels = npt.NDArray[np.uint8]

LIMIT = 50_000_000
PIL = Preprocessing(
    resize_short=256,
    resize=None,
    crop=(224, 224),
    resample=Resampling.BILINEAR,
    antialias=True,
    scale=1 / 255,
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
)
OPENCV = replace(PIL, antialias=False)
AS_IT_IS = replace(PIL, resize_short=32, crop=(32, 32))  # for 32 x 32: no pixel is resampled

FORMATS: tuple[Format, ...] = get_args(Format)
OPTIONS: dict[Format, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"lossless": True, "quality": 0, "method": 0},  # quickly written
    "TIFF": {"compression": "tiff_lzw"},
}
LOSSLESS: tuple[Format, ...] = ("PNG", "WEBP", "BMP", "TIFF")
WITH_EXIF: tuple[Format, ...] = ("JPEG", "PNG", "WEBP", "TIFF")


def photograph(name: str) -> Pixels:
    load: Callable[[], Pixels] = getattr(data, name)
    return load()


@pytest.fixture(scope="module")
def cat() -> Pixels:
    return photograph("chelsea")  # (300, 451, 3)


@pytest.fixture(scope="module")
def small(cat: Pixels) -> Pixels:
    return np.ascontiguousarray(cat[100:132, 150:182])  # (32, 32, 3), an eye


def encode(pixels: npt.NDArray[Any] | Image.Image, kind: str, **options: Any) -> bytes:  # noqa: ANN401
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    file = io.BytesIO()
    image.save(file, kind, **{**OPTIONS.get(kind, {}), **options})  # type: ignore[call-overload]
    return file.getvalue()


def exact(upload: bytes) -> Pixels:
    """Return the pixels of a 32 x 32 upload as they were decoded."""
    return decode(upload, AS_IT_IS, LIMIT).pixels


def difference(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    return np.abs(a.astype(np.int64) - b.astype(np.int64))


def answer(upload: bytes, spec: Preprocessing = PIL) -> Photo | None:
    """Decode what may be broken: a valid photo, or None for an error of ours."""
    try:
        photo = decode(upload, spec, LIMIT)
    except ServiceError:
        return None
    assert photo.pixels.shape == (spec.crop[1], spec.crop[0], 3)
    assert photo.pixels.dtype == np.uint8
    assert photo.pixels.flags.c_contiguous
    return photo


# Formats


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_is_read(cat: Pixels, kind: Format) -> None:
    photo = decode(encode(cat, kind), PIL, LIMIT)
    assert (photo.width, photo.height, photo.format) == (451, 300, kind)
    assert photo.pixels.shape == (224, 224, 3)
    assert photo.pixels.dtype == np.uint8
    assert photo.pixels.flags.c_contiguous


@pytest.mark.parametrize("kind", LOSSLESS)
def test_lossless_formats_give_their_pixels(small: Pixels, kind: Format) -> None:
    assert np.array_equal(exact(encode(small, kind)), small)


@pytest.mark.parametrize("compression", ["raw", "tiff_adobe_deflate", "packbits", "jpeg"])
@pytest.mark.parametrize("big", [False, True])
def test_tiff_is_read_whatever_its_compression(small: Pixels, compression: str, big: bool) -> None:
    pixels = exact(encode(small, "TIFF", compression=compression, big_tiff=big))
    assert difference(pixels, small).mean() < (8 if compression == "jpeg" else 0.001)


@pytest.mark.parametrize("kind", ["JPEG", "GIF"])
def test_lossy_formats_come_near(small: Pixels, kind: str) -> None:
    assert difference(exact(encode(small, kind)), small).mean() < 5


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_counts(kind: str) -> None:
    red, blue = Image.new("RGB", (32, 32), "red"), Image.new("RGB", (32, 32), "blue")
    upload = encode(red, kind, save_all=True, append_images=[blue])
    with Image.open(io.BytesIO(upload)) as image:
        assert getattr(image, "n_frames", 1) == 2
    assert (exact(upload) == (255, 0, 0)).all()


@pytest.mark.parametrize("kind", ["ICO", "PPM", "TGA", "AVIF", "JPEG2000", "PDF", "EPS"])
def test_other_formats_are_unsupported(small: Pixels, kind: str) -> None:
    with pytest.raises(UnsupportedImage, match="JPEG, PNG, WEBP, BMP, GIF, TIFF"):
        decode(encode(small, kind), PIL, LIMIT)


@pytest.mark.parametrize("upload", [b"<svg/>", b"hello", b"\0", b"\xff\xd8", b"RIFF\0\0\0\0WAVE"])
def test_what_is_no_image_is_unsupported(upload: bytes) -> None:
    with pytest.raises(UnsupportedImage):
        decode(upload, PIL, LIMIT)


def test_nothing_is_an_empty_file() -> None:
    with pytest.raises(EmptyFile):
        decode(b"", PIL, LIMIT)


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


def written(pixels: npt.NDArray[Any], **options: Any) -> bytes:  # noqa: ANN401
    """Write a TIFF of a kind that Pillow does not write."""
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_16_bit_tiff_may_count_from_white(small: Pixels, compression: str | None) -> None:
    deep = small[..., 0].astype(np.uint16) << 8
    upload = written(~deep, photometric="miniswhite", compression=compression)
    assert np.array_equal(exact(upload)[..., 0], small[..., 0])


def test_a_tiff_of_12_bits_is_not_dark(small: Pixels) -> None:
    bits = "".join(f"{value:08b}0000" for value in small[..., 0].ravel())
    pixels = int(bits, 2).to_bytes(len(bits) // 8)
    tags = (256, 32), (257, 32), (258, 12), (259, 1), (262, 1), (277, 1), (278, 32)
    header = 8 + 2 + 12 * 9 + 4
    upload = tiff(*tags, (273, header), (279, len(pixels))) + pixels
    assert np.array_equal(exact(upload)[..., 0], small[..., 0])


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_tiff_of_16_bit_planes_is_no_noise(
    small: Pixels, byteorder: str, compression: str | None
) -> None:
    planes = np.ascontiguousarray(small.transpose(2, 0, 1)).astype(np.uint16) << 8
    upload = written(
        planes,
        photometric="rgb",
        planarconfig="separate",
        byteorder=byteorder,
        compression=compression,
    )
    assert np.array_equal(exact(upload), small)


def test_16_bit_rgb_keeps_its_high_byte(small: Pixels) -> None:
    assert np.array_equal(exact(png_of_16_bits(small)), small)


def test_palette_becomes_rgb(small: Pixels) -> None:
    palette = Image.fromarray(small).quantize(64)
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


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_alpha_lies_on_white(small: Pixels, kind: str) -> None:
    alpha = np.tile(np.arange(0, 256, 8, dtype=np.uint8), (32, 1))
    upload = encode(np.dstack([small, alpha]), kind, **({"exact": True} if kind == "WEBP" else {}))
    weight = alpha[..., None] / 255
    assert difference(exact(upload), np.rint(small * weight + 255 * (1 - weight))).max() <= 1


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
    """Of nothing but zeros it is a byte that nobody filled: the picture came out white."""
    rows = bytes([200, 200, 200, alpha]) * 1024
    masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    head = struct.pack("<IiiHHIIiiII", 108, 32, 32, 1, 32, 3, len(rows), 0, 0, 0, 0)
    header = head + masks + bytes(108 - len(head) - len(masks))
    upload = b"BM" + struct.pack("<III", 0, 0, 14 + len(header)) + header + rows
    assert difference(exact(upload), np.array(left)).max() <= 1


@pytest.mark.parametrize("adobe", [True, False])
def test_cmyk_jpeg_comes_near_its_rgb(small: Pixels, adobe: bool) -> None:
    upload = encode(Image.fromarray(small).convert("CMYK"), "JPEG")
    start = upload.index(b"\xff\xee\x00\x0eAdobe")
    if not adobe:  # then the values are inverted all the same: nobody writes others
        upload = upload[:start] + upload[start + 16 :]
    assert difference(exact(upload), small).mean() < 3


def test_cmyk_tiff_gives_its_rgb(small: Pixels) -> None:
    assert (
        difference(exact(encode(Image.fromarray(small).convert("CMYK"), "TIFF")), small).max() < 3
    )


@pytest.mark.parametrize("mode", ["F", "I", "LAB"])
def test_modes_without_8_bit_colours_are_unsupported(mode: str) -> None:
    with pytest.raises(UnsupportedImage):
        decode(encode(Image.new(mode, (32, 32)), "TIFF"), PIL, LIMIT)


# Orientation

STORED: dict[int, Callable[[Pixels], Pixels]] = {  # as EXIF defines it: upright -> stored
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.transpose(1, 0, 2),
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: upright.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda upright: np.rot90(upright, -1),
}


def stored(upright: Pixels, orientation: int, kind: Format) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return encode(np.ascontiguousarray(STORED[orientation](upright)), kind, exif=exif)


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("kind", WITH_EXIF)
def test_every_orientation_comes_out_upright(cat: Pixels, kind: Format, orientation: int) -> None:
    upright = decode(encode(cat, kind), PIL, LIMIT)
    photo = decode(stored(cat, orientation, kind), PIL, LIMIT)
    assert (photo.width, photo.height) == (451, 300)
    off = difference(photo.pixels, upright.pixels)
    assert off.max() <= (16 if kind == "JPEG" else 1)  # its 8 x 8 blocks lie elsewhere
    assert off.mean() < (1.5 if kind == "JPEG" else 0.1)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_changes_nothing(
    small: Pixels, orientation: int
) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    assert np.array_equal(exact(encode(small, "PNG", exif=exif)), small)


# Geometry


@pytest.mark.parametrize(
    ("width", "height", "left", "top"),
    [(256, 256, 16, 16), (257, 256, 16, 16), (256, 301, 16, 38), (451, 256, 113, 16)],
)
def test_the_crop_begins_where_paddleclas_cuts(
    width: int, height: int, left: int, top: int
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    photo = decode(encode(pixels, "BMP"), PIL, LIMIT)
    assert np.array_equal(photo.pixels, pixels[top : top + 224, left : left + 224])


@pytest.mark.parametrize("size", [(451, 300), (300, 451), (333, 500), (101, 77), (225, 1000)])
@pytest.mark.parametrize("filter_", [Resampling.BILINEAR, Resampling.BICUBIC, Resampling.LANCZOS])
def test_one_pass_gives_what_resizing_whole_and_cropping_gives(
    cat: Pixels, size: tuple[int, int], filter_: Resampling
) -> None:
    image = Image.fromarray(cat).resize(size)
    scale = 256 / min(size)
    width, height = int(round(size[0] * scale)), int(round(size[1] * scale))  # noqa: RUF046
    left, top = (width - 224) // 2, (height - 224) // 2
    whole = np.asarray(image.resize((width, height), filter_))
    photo = decode(encode(image, "PNG"), replace(PIL, resample=filter_), LIMIT)
    off = difference(photo.pixels, whole[top : top + 224, left : left + 224])
    assert off.max() <= 2  # 1 but for a handful: the two passes are rounded in another order
    assert (off > 1).mean() < 1e-3


def opencv_bilinear(pixels: Pixels, width: int, height: int) -> npt.NDArray[np.float64]:
    """Resize as cv2.INTER_LINEAR does: pixel centres at a half, 2x2 neighbours, border repeated."""
    result = pixels.astype(np.float64)
    for axis, length in ((0, height), (1, width)):
        given = pixels.shape[axis]
        at = np.clip((np.arange(length) + 0.5) * given / length - 0.5, 0, given - 1)
        low = np.floor(at).astype(int)
        weight = np.expand_dims(at - low, (1, 2) if axis == 0 else (0, 2))
        high = np.minimum(low + 1, given - 1)
        result = result.take(low, axis) * (1 - weight) + result.take(high, axis) * weight
    return result


@pytest.mark.parametrize("size", [(451, 300), (300, 451), (1200, 801), (101, 77), (30, 20)])
def test_without_antialias_it_samples_as_opencv_does(cat: Pixels, size: tuple[int, int]) -> None:
    pixels = np.asarray(Image.fromarray(cat).resize(size))
    width, height = OPENCV.resized(*size)
    left, top = (width - 224) // 2, (height - 224) // 2
    expected = opencv_bilinear(pixels, width, height)[top : top + 224, left : left + 224]
    photo = decode(encode(pixels, "PNG"), OPENCV, LIMIT)
    assert np.abs(photo.pixels - expected).max() < 1.001


def test_opencv_without_a_crop_repeats_the_border(small: Pixels) -> None:
    spec = replace(OPENCV, resize_short=None, resize=(100, 70), crop=(100, 70))
    photo = decode(encode(small, "PNG"), spec, LIMIT)
    assert np.abs(photo.pixels - opencv_bilinear(small, 100, 70)).max() < 1.001


@pytest.mark.parametrize("spec", [PIL, OPENCV], ids=["pil", "opencv"])
@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (2, 5000), (5000, 3)])
def test_the_thinnest_pictures_work(size: tuple[int, int], spec: Preprocessing) -> None:
    photo = decode(encode(Image.new("RGB", size, (10, 20, 30)), "PNG"), spec, LIMIT)
    assert (photo.width, photo.height) == size
    assert (photo.pixels == (10, 20, 30)).all()


def test_a_crop_may_be_wider_than_high(cat: Pixels) -> None:
    spec = replace(PIL, resize_short=None, resize=(300, 200), crop=(280, 120))
    photo = decode(encode(cat, "PNG"), spec, LIMIT)
    whole = np.asarray(Image.fromarray(cat).resize((300, 200), Resampling.BILINEAR))
    assert difference(photo.pixels, whole[40:160, 10:290]).max() <= 1


# Size


@pytest.mark.parametrize(
    ("size", "reduced"),
    [((4000, 3000), (500, 375)), ((3000, 4000), (375, 500)), ((1030, 700), (515, 350))],
)
def test_a_large_jpeg_is_halved_in_its_dct_and_stays_near(
    cat: Pixels, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], reduced: tuple[int, int]
) -> None:
    seen: list[tuple[int, int]] = []
    resize = Image.Image.resize

    def spy(image: Image.Image, *args: Any) -> Image.Image:  # noqa: ANN401
        seen.append(image.size)
        return resize(image, *args)

    upload = encode(Image.fromarray(cat).resize(size), "JPEG")
    plain = decode(encode(Image.open(io.BytesIO(upload)), "BMP"), PIL, LIMIT)
    monkeypatch.setattr(Image.Image, "resize", spy)
    photo = decode(upload, PIL, LIMIT)
    assert seen == [reduced]
    assert (photo.width, photo.height) == size
    assert difference(photo.pixels, plain.pixels).mean() < 1


def test_a_jpeg_is_never_reduced_below_the_wanted_size(cat: Pixels) -> None:
    upload = encode(Image.fromarray(cat).resize((1000, 511)), "JPEG")
    plain = decode(encode(Image.open(io.BytesIO(upload)), "BMP"), PIL, LIMIT)
    assert np.array_equal(decode(upload, PIL, LIMIT).pixels, plain.pixels)


@pytest.mark.parametrize("kind", FORMATS)
def test_the_pixel_limit_is_inclusive(small: Pixels, kind: Format) -> None:
    upload = encode(small, kind)
    assert decode(upload, PIL, 32 * 32).width == 32
    with pytest.raises(TooManyPixels, match="32 x 32"):
        decode(upload, PIL, 32 * 32 - 1)


def chunk(name: bytes, content: bytes) -> bytes:
    crc = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + crc


def png(
    width: int, height: int, depth: int, pixels: bytes, *, colour: int = 2, before: bytes = b""
) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = chunk(b"IHDR", header), before, chunk(b"IDAT", pixels), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def png_of_16_bits(pixels: Pixels) -> bytes:
    deep = (pixels.astype(np.uint16) << 8) + 255
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in deep)
    return png(pixels.shape[1], pixels.shape[0], 16, zlib.compress(rows))


def tiff(*tags: tuple[int, int]) -> bytes:
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)


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
    with pytest.raises(TooManyPixels):  # there is nothing to decode: else it would be broken
        decode(header, PIL, LIMIT)


@pytest.mark.parametrize(("size", "fits"), [((1, 65_535), True), ((1, 65_536), False)])
def test_a_side_has_its_limit_too(size: tuple[int, int], fits: bool) -> None:
    """A column of 50 million pixels, 70 kB of TIFF, stopped the event loop for 0.3 s."""
    for upload in (encode(Image.new("L", size), "TIFF"), encode(Image.new("L", size[::-1]), "PNG")):
        if fits:
            decode(upload, PIL, LIMIT)
        else:
            with pytest.raises(TooManyPixels, match="a side of at most 65535"):
                decode(upload, PIL, LIMIT)


def test_the_pixel_limit_counts_a_tiffs_tile(small: Pixels) -> None:
    """libtiff decodes whole tiles: 1.5 MB of deflated zeros took 1.6 GB and 6 s."""
    header = (256, 300), (257, 300), (258, 8), (259, 8), (262, 1)
    for side, error in ((40_000, TooManyPixels), (304, BrokenImage)):
        upload = tiff(*header, (322, side), (323, side), (324, 8), (325, 8))
        with pytest.raises(error):
            decode(upload, PIL, LIMIT)
    assert answer(encode(small, "TIFF")) is not None


# Damage


@pytest.mark.parametrize("kind", FORMATS)
def test_half_a_file_is_broken(cat: Pixels, kind: Format) -> None:
    upload = encode(cat, kind)
    with pytest.raises(BrokenImage, match=f"The {kind} image is truncated or damaged"):
        decode(upload[: len(upload) // 2], PIL, LIMIT)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_cut_anywhere_is_broken_or_answered(small: Pixels, kind: Format) -> None:
    upload = encode(small, kind, **laden(kind))
    for length in [*range(1, 64), *range(64, len(upload), 37), len(upload) - 1]:
        cut = upload[:length]
        try:
            sniff(cut)
        except UnsupportedImage:
            assert length < 12
            continue
        try:
            decode(cut, PIL, LIMIT)
        except BrokenImage:
            continue
        assert length > len(upload) // 2


def laden(kind: Format) -> dict[str, Any]:
    """Return options that make a file carry all that may be damaged in it."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.Make] = "maker" * 9
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ExposureTime] = 0.01
    options: dict[Format, dict[str, Any]] = {
        "JPEG": {"exif": exif, "icc_profile": bytes(200), "comment": b"a", "progressive": True},
        "PNG": {"exif": exif, "icc_profile": bytes(200), "dpi": (72, 72)},
        "WEBP": {"exif": exif, "icc_profile": bytes(200), "xmp": b"<x/>"},
        "TIFF": {"exif": exif, "icc_profile": bytes(200)},
        "GIF": {"comment": b"a" * 300},
        "BMP": {},
    }
    return options[kind]


def damage(upload: bytes, rng: np.random.Generator) -> bytes:
    """Flip, overwrite, cut out, splice or repeat a few bytes after the signature."""
    damaged = bytearray(upload)
    for _ in range(rng.integers(1, 5)):
        start, source = rng.integers(12, max(len(damaged), 13), 2)
        # half of the damage goes to the headers
        start = int(start) if rng.random() < 0.5 else 12 + int(start) % 200
        length = int(rng.integers(1, 40))
        end = start + length
        match rng.integers(6):
            case 0:
                damaged[start:end] = bytes(
                    b ^ (1 << int(rng.integers(8))) for b in damaged[start:end]
                )
            case 1:
                damaged[start:end] = rng.bytes(length)
            case 2:
                del damaged[start:end]
            case 3:
                damaged[start:start] = damaged[source : source + length]
            case 4:
                damaged[start : start + 2] = b"\xff\xff"
            case 5:
                damaged[start : start + 4] = bytes(4)
    return bytes(damaged)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", FORMATS)
def test_any_damage_gives_an_error_of_ours_or_a_valid_answer(small: Pixels, kind: Format) -> None:
    rng = np.random.default_rng(FORMATS.index(kind))
    upload = encode(small, kind, **laden(kind))
    assert answer(upload) is not None
    answered = [answer(damage(upload, rng), (PIL, OPENCV)[n % 2]) is not None for n in range(400)]
    assert 0 < sum(answered) < 400


@pytest.mark.filterwarnings("ignore")
def test_damaged_png_chunks_with_right_checksums_give_no_other_error(small: Pixels) -> None:
    rng = np.random.default_rng(7)
    rgba = Image.fromarray(small).convert("RGBA")
    animated = encode(rgba, "PNG", save_all=True, append_images=[rgba.rotate(90)])
    palette = encode(rgba.quantize(8), "PNG", transparency=bytes(range(0, 200, 25)))
    files = [encode(small, "PNG", **laden("PNG")), animated, palette]
    answered = [answer(spliced(files[n % 3], rng)) is not None for n in range(400)]
    assert 0 < sum(answered) < 400


def spliced(upload: bytes, rng: np.random.Generator) -> bytes:
    """Damage a chunk, take it out, send it twice, elsewhere or under another name."""
    chunks, at = [], 8
    while at < len(upload):
        (length,) = struct.unpack(">I", upload[at : at + 4])
        chunks.append((upload[at + 4 : at + 8], upload[at + 8 : at + 8 + length]))
        at += length + 12
    name, content = chunks.pop(victim := int(rng.integers(len(chunks))))
    match rng.integers(5):
        case 0:
            chunks.insert(victim, (name, damage(bytes(12) + content, rng)[12:]))
        case 1:
            chunks[victim:victim] = [(name, content)] * 2
        case 2:
            chunks.insert(int(rng.integers(len(chunks))), (name, content))
        case 3:
            others = [
                b"tRNS",
                b"acTL",
                b"fcTL",
                b"fdAT",
                b"eXIf",
                b"iCCP",
                b"zTXt",
                b"iTXt",
                b"cHRM",
            ]
            chunks.insert(max(victim, 1), (others[rng.integers(len(others))], content))
    return upload[:8] + b"".join(chunk(*each) for each in chunks)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_nonsense_beside_the_pixels_does_not_cost_the_answer(small: Pixels, kind: Format) -> None:
    rng = np.random.default_rng(1)
    clean = exact(encode(small, kind))
    starts = [b"Exif\0\0II*\0\x08\0\0\0", b"Exif\0\0MM\0*\0\0\0\x08", b"Exif\0\0", b""]
    for n in range(100):
        exif = starts[n % 4] + rng.bytes(int(rng.integers(1, 200)))
        upload = encode(small, kind, exif=exif, icc_profile=rng.bytes(100))
        assert sorted(exact(upload).ravel()) == sorted(clean.ravel())  # perhaps turned


@pytest.mark.parametrize(
    "orientation", [b"\x02\0\x02\0\0\0ab\0\0", b"\x05\0\x01\0\0\0\xff\xff\xff\xff"]
)
def test_an_orientation_that_is_no_number_changes_nothing(
    small: Pixels, orientation: bytes
) -> None:
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01" + orientation + bytes(4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert np.array_equal(exact(encode(small, "PNG", exif=exif)), small)


def test_pillows_warnings_do_not_reach_the_operator(small: Pixels) -> None:
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x0f\x01\x02\0\xff\0\0\0\xff\xff\0\0" + bytes(4)
    upload = encode(small, "JPEG", exif=exif)
    with (
        pytest.warns(UserWarning, match="Skipping tag 271"),
        Image.open(io.BytesIO(upload)) as image,
    ):
        image.getexif()
    program = (
        "import sys; from app.images.decoding import decode;"
        "from app.model.transform_ops import read_transform_ops;"
        "spec = read_transform_ops([{'ResizeImage': {'size': 32}}, {'NormalizeImage': None}]);"
        "print(decode(sys.stdin.buffer.read(), spec, 9999).width)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], input=upload, capture_output=True, check=True
    )
    assert (run.stdout, run.stderr) == (b"32\n", b"")


def progressive(more_scans: int) -> bytes:
    """Draw a progressive JPEG and repeat its last scan, as often as asked for."""
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
    """Draw a JPEG whose EXIF comes in so many segments: each is joined to all before it."""
    content = encode(Image.new("RGB", (8, 8)), "JPEG")
    return content[:2] + segments * (b"\xff\xe1\x00\x10Exif\0\0" + bytes(8)) + content[2:]


def png_of_profiles(count: int) -> bytes:
    """Draw a PNG with so many colour profiles: each is inflated to a megabyte."""
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
    """10 MB of it took a decoder 20 and 40 s."""
    decode(draw(few), PIL, LIMIT)
    with pytest.raises(BrokenImage, match=f"repeats its {what}"):
        decode(draw(many), PIL, LIMIT)


def run_length_bmp(width: int, height: int) -> bytes:
    """Draw a BMP of grey lines, each of one pixel and an end."""
    runs = height * b"\1\1\0\0" + b"\0\1"
    greys = b"".join(bytes([n, n, n, 0]) for n in range(256))
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(runs), 0, 0, 256, 0)
    return b"BM" + struct.pack("<III", 0, 0, 54 + len(greys)) + head + greys + runs


def test_a_run_length_coded_bmp_may_have_fewer_pixels() -> None:
    """It is decoded in Python: 58 bytes took it 8 s."""
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
