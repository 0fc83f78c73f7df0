"""Embedded colour profiles: converted to sRGB where the spec asks for it, and ignored elsewhere."""

import itertools
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageCms
from profiles import (
    ADOBE,
    P3,
    SRGB,
    Floats,
    adobe_curve,
    cmyk_profile,
    grey_profile,
    press_colour,
    rgb_profile,
    srgb_curve,
    srgb_of_lab,
    srgb_of_rgb,
)
from uploads import CAT, EYE, LIMIT, PIL, UNCHANGED, difference, encode, exact

from app.images.decoding import decode, decode_full
from app.images.preprocessing import Pixels

CONVERTED = replace(UNCHANGED, srgb=True)
DISPLAY_P3, ADOBE_RGB = rgb_profile(P3, srgb_curve), rgb_profile(ADOBE, adobe_curve)


def seen(upload: bytes) -> Pixels:
    """Return the pixels of a 32 x 32 upload as sRGB."""
    return decode(upload, CONVERTED, LIMIT).pixels


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize(
    ("matrix", "curve"), [(P3, srgb_curve), (ADOBE, adobe_curve)], ids=["P3", "Adobe"]
)
def test_colours_become_those_of_srgb(
    kind: str, matrix: list[list[float]], curve: Callable[[Floats], Floats]
) -> None:
    upload = encode(EYE, kind, icc_profile=rgb_profile(matrix, curve))
    assert difference(seen(upload), srgb_of_rgb(EYE, matrix, curve).round()).max() <= 1
    assert difference(seen(upload), EYE).mean() > 2


@pytest.mark.parametrize("kind", ["JPEG", "AVIF", "HEIF"])
def test_lossy_formats_carry_profiles_too(kind: str) -> None:
    upload = encode(EYE, kind, icc_profile=DISPLAY_P3)
    expected = srgb_of_rgb(exact(upload), P3, srgb_curve).round()
    assert difference(seen(upload), expected).max() <= 1


def test_a_spec_without_srgb_ignores_the_profile_as_paddleclas_does() -> None:
    assert np.array_equal(exact(encode(EYE, "PNG", icc_profile=ADOBE_RGB)), EYE)


@pytest.mark.parametrize(
    "profile",
    [rgb_profile(SRGB, srgb_curve), ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))],
)
def test_a_variant_of_srgb_changes_nothing(profile: bytes | ImageCms.ImageCmsProfile) -> None:
    content = profile if isinstance(profile, bytes) else profile.tobytes()
    assert np.array_equal(seen(encode(EYE, "PNG", icc_profile=content)), EYE)


@pytest.mark.parametrize(
    "inks", [inks for inks in itertools.product((0, 1), repeat=4) if sum(inks) < 3]
)
@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_shows_what_the_press_prints(kind: str, inks: tuple[int, ...]) -> None:
    patch = Image.new("CMYK", (32, 32), tuple(255 * ink for ink in inks))
    upload = encode(patch, kind, icc_profile=cmyk_profile())
    assert difference(seen(upload), srgb_of_lab(press_colour(inks)).round()).max() <= 2


def test_cmyk_without_a_profile_is_what_it_was() -> None:
    upload = encode(Image.fromarray(EYE).convert("CMYK"), "JPEG")
    assert np.array_equal(seen(upload), exact(upload))


def test_grey_has_its_own_profiles() -> None:
    upload = encode(EYE[..., 0], "PNG", icc_profile=grey_profile(lambda value: value**1.8))
    light = (EYE[..., 0] / 255) ** 1.8
    expected = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    pixels = seen(upload)
    assert difference(pixels[..., 0], (expected * 255).round()).max() <= 2
    assert (pixels == pixels[..., :1]).all()


@pytest.mark.parametrize(
    ("image", "profile"),
    [
        (Image.fromarray(EYE), cmyk_profile()),
        (Image.fromarray(EYE), grey_profile(adobe_curve)),
        (Image.fromarray(EYE), ADOBE_RGB[:200]),
        (Image.fromarray(EYE), ADOBE_RGB[:16] + b"Lab " + ADOBE_RGB[20:]),
        (Image.fromarray(EYE), b"profile"),
        (Image.fromarray(EYE), ADOBE_RGB + bytes(5_000_000)),
        (Image.fromarray(EYE).convert("CMYK"), ADOBE_RGB),
    ],
    ids=["of CMYK", "of grey", "half", "of Lab", "text", "long", "of RGB"],
)
def test_a_profile_that_is_damaged_or_of_another_kind_is_ignored(
    image: Image.Image, profile: bytes
) -> None:
    upload = encode(image, "TIFF", icc_profile=profile)
    assert np.array_equal(seen(upload), exact(upload))


def test_transparent_pixels_lie_on_white_which_stays_white() -> None:
    alpha = np.zeros((32, 32, 1), np.uint8)
    upload = encode(np.dstack([EYE, alpha]), "PNG", icc_profile=DISPLAY_P3)
    assert (seen(upload) == 255).all()


@pytest.mark.parametrize("profile", [DISPLAY_P3, ADOBE_RGB], ids=["P3", "Adobe"])
def test_converting_last_shows_what_converting_first_shows(profile: bytes) -> None:
    """Few pixels are converted and not all of them; on real photos the two ways hardly differ."""
    spec = replace(PIL, srgb=True)
    upload = encode(CAT, "PNG", icc_profile=profile)
    first = decode_full(upload, LIMIT, srgb=True)
    off = difference(
        decode(upload, spec, LIMIT).pixels, decode(encode(first, "PNG"), PIL, LIMIT).pixels
    )
    assert off.mean() < 0.5
    assert (off > 3).mean() < 0.01


def test_training_sees_the_same_colours() -> None:
    """A random view is cut from `decode_full`, and a photo as served comes from `decode`."""
    upload = encode(EYE, "PNG", icc_profile=ADOBE_RGB)
    assert np.array_equal(np.asarray(decode_full(upload, LIMIT, srgb=True)), seen(upload))
    assert np.array_equal(np.asarray(decode_full(upload, LIMIT)), EYE)
