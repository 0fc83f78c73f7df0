"""The geometry of decoding: orientation, crop, resampling, and the reduction of large JPEGs."""

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import ExifTags, Image
from PIL.Image import Resampling
from uploads import (
    CAT,
    EYE,
    LIMIT,
    OPENCV,
    PIL,
    difference,
    encode,
    exact,
)

from app.images.decoding import decode
from app.images.formats import Format
from app.images.preprocessing import Pixels, Preprocessing

# Orientation

WITH_EXIF: tuple[Format, ...] = ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF")
# For each orientation that EXIF defines, the way from the upright pixels to the stored ones.
STORED: dict[int, Callable[[Pixels], Pixels]] = {
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
    # For AVIF and HEIF, the encoder writes a rotation and a mirroring beside the EXIF data.
    return encode(np.ascontiguousarray(STORED[orientation](upright)), kind, exif=exif.tobytes())


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("kind", WITH_EXIF)
def test_every_orientation_comes_out_upright(kind: Format, orientation: int) -> None:
    upright = decode(encode(CAT, kind), PIL, LIMIT)
    photo = decode(stored(CAT, orientation, kind), PIL, LIMIT)
    assert (photo.width, photo.height) == (451, 300)
    off = difference(photo.pixels, upright.pixels)
    # In a turned JPEG, the borders of the 8 x 8 blocks are elsewhere.
    lossy = kind in ("JPEG", "AVIF", "HEIF")
    assert off.max() <= (16 if lossy else 1)
    assert off.mean() < (1.5 if lossy else 0.1)


def test_a_heif_turns_by_its_own_rotation_and_not_by_exif() -> None:
    """Apple writes both for the same turn; the standard lets only the rotation count."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    upload = encode(CAT, "HEIF")
    with_exif_only = encode(CAT, "HEIF", exif=exif)
    assert b"irot" not in with_exif_only
    photo = decode(with_exif_only, PIL, LIMIT)
    assert np.array_equal(photo.pixels, decode(upload, PIL, LIMIT).pixels)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_changes_nothing(orientation: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    assert np.array_equal(exact(encode(EYE, "PNG", exif=exif)), EYE)


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
    size: tuple[int, int], filter_: Resampling
) -> None:
    image = Image.fromarray(CAT).resize(size)
    scale = 256 / min(size)
    width, height = int(round(size[0] * scale)), int(round(size[1] * scale))  # noqa: RUF046
    left, top = (width - 224) // 2, (height - 224) // 2
    whole = np.asarray(image.resize((width, height), filter_))
    photo = decode(encode(image, "PNG"), replace(PIL, resample=filter_), LIMIT)
    off = difference(photo.pixels, whole[top : top + 224, left : left + 224])
    # The two ways round in a different order: a few pixels differ by 2, all others by at most 1.
    assert off.max() <= 2
    assert (off > 1).mean() < 1e-3


def opencv_bilinear(pixels: Pixels, width: int, height: int) -> npt.NDArray[np.float64]:
    """Resize as cv2.INTER_LINEAR: pixel centres at 0.5, 2x2 neighbours, repeated border."""
    result = pixels.astype(np.float64)
    for axis, length in ((0, height), (1, width)):
        old_length = pixels.shape[axis]
        position = (np.arange(length) + 0.5) * old_length / length - 0.5
        position = np.clip(position, 0, old_length - 1)
        low = np.floor(position).astype(int)
        weight = np.expand_dims(position - low, (1, 2) if axis == 0 else (0, 2))
        high = np.minimum(low + 1, old_length - 1)
        result = result.take(low, axis) * (1 - weight) + result.take(high, axis) * weight
    return result


@pytest.mark.parametrize("size", [(451, 300), (300, 451), (1200, 801), (101, 77), (30, 20)])
def test_without_antialias_it_samples_as_opencv_does(size: tuple[int, int]) -> None:
    pixels = np.asarray(Image.fromarray(CAT).resize(size))
    width, height = OPENCV.resized(*size)
    left, top = (width - 224) // 2, (height - 224) // 2
    expected = opencv_bilinear(pixels, width, height)[top : top + 224, left : left + 224]
    photo = decode(encode(pixels, "PNG"), OPENCV, LIMIT)
    assert np.abs(photo.pixels - expected).max() < 1.001


def test_opencv_without_a_crop_repeats_the_border() -> None:
    spec = replace(OPENCV, resize_short=None, resize=(100, 70), crop=(100, 70))
    photo = decode(encode(EYE, "PNG"), spec, LIMIT)
    assert np.abs(photo.pixels - opencv_bilinear(EYE, 100, 70)).max() < 1.001


@pytest.mark.parametrize("spec", [PIL, OPENCV], ids=["pil", "opencv"])
@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (2, 5000), (5000, 3)])
def test_the_thinnest_pictures_work(size: tuple[int, int], spec: Preprocessing) -> None:
    photo = decode(encode(Image.new("RGB", size, (10, 20, 30)), "PNG"), spec, LIMIT)
    assert (photo.width, photo.height) == size
    assert (photo.pixels == (10, 20, 30)).all()


def test_a_crop_may_be_wider_than_high() -> None:
    spec = replace(PIL, resize_short=None, resize=(300, 200), crop=(280, 120))
    photo = decode(encode(CAT, "PNG"), spec, LIMIT)
    whole = np.asarray(Image.fromarray(CAT).resize((300, 200), Resampling.BILINEAR))
    assert difference(photo.pixels, whole[40:160, 10:290]).max() <= 1


# Reduction of JPEGs


@pytest.mark.parametrize(
    ("size", "reduced"),
    [((4000, 3000), (500, 375)), ((3000, 4000), (375, 500)), ((1030, 700), (515, 350))],
)
def test_a_large_jpeg_is_halved_in_its_dct_and_stays_near(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], reduced: tuple[int, int]
) -> None:
    seen: list[tuple[int, int]] = []
    resize = Image.Image.resize

    def spy(image: Image.Image, *args: Any) -> Image.Image:  # noqa: ANN401
        seen.append(image.size)
        return resize(image, *args)

    upload = encode(Image.fromarray(CAT).resize(size), "JPEG")
    plain = decode(encode(Image.open(io.BytesIO(upload)), "BMP"), PIL, LIMIT)
    monkeypatch.setattr(Image.Image, "resize", spy)
    photo = decode(upload, PIL, LIMIT)
    assert seen == [reduced]
    assert (photo.width, photo.height) == size
    assert difference(photo.pixels, plain.pixels).mean() < 1


def test_a_jpeg_is_never_reduced_below_the_wanted_size() -> None:
    upload = encode(Image.fromarray(CAT).resize((1000, 511)), "JPEG")
    plain = decode(encode(Image.open(io.BytesIO(upload)), "BMP"), PIL, LIMIT)
    assert np.array_equal(decode(upload, PIL, LIMIT).pixels, plain.pixels)
