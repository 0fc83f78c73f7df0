"""Damaged uploads: each gets a valid answer or an error of ours, and nothing else."""

import io
import struct
import subprocess
import sys
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image
from profiles import P3, rgb_profile, srgb_curve
from raw_files import chunk
from uploads import (
    CAT,
    EYE,
    FORMATS,
    IN_SRGB,
    LIMIT,
    OPENCV,
    PIL,
    UNCHANGED,
    answer,
    encode,
    exact,
)

from app.errors import BrokenImage, UnsupportedImage
from app.images.decoding import decode
from app.images.formats import Format, sniff

PROFILE = rgb_profile(P3, srgb_curve, points=16)


@pytest.mark.parametrize("kind", FORMATS)
def test_half_a_file_is_broken(kind: Format) -> None:
    upload = encode(CAT, kind)
    with pytest.raises(BrokenImage, match=f"The {kind} image is truncated or damaged"):
        decode(upload[: len(upload) // 2], PIL, LIMIT)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_cut_anywhere_is_broken_or_answered(kind: Format) -> None:
    upload = encode(EYE, kind, **laden(kind))
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
    """Return options with which Pillow writes metadata that the tests can damage."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.Make] = "maker" * 9
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ExposureTime] = 0.01
    options: dict[Format, dict[str, Any]] = {
        "JPEG": {"exif": exif, "icc_profile": PROFILE, "comment": b"a", "progressive": True},
        "PNG": {"exif": exif, "icc_profile": PROFILE, "dpi": (72, 72)},
        "WEBP": {"exif": exif, "icc_profile": PROFILE, "xmp": b"<x/>"},
        "TIFF": {"exif": exif, "icc_profile": PROFILE},
        "AVIF": {"exif": exif, "icc_profile": PROFILE, "xmp": b"<x/>"},
        "HEIF": {"exif": exif, "icc_profile": PROFILE, "xmp": b"<x/>"},
        "GIF": {"comment": b"a" * 300},
        "BMP": {},
    }
    return options[kind]


def damage(upload: bytes, rng: np.random.Generator) -> bytes:
    """Return a copy in which a few bytes after the signature are changed, removed or repeated."""
    damaged = bytearray(upload)
    for _ in range(rng.integers(1, 5)):
        start, source = rng.integers(12, max(len(damaged), 13), 2)
        # Half of the damage is in the headers.
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
def test_any_damage_gives_an_error_of_ours_or_a_valid_answer(kind: Format) -> None:
    rng = np.random.default_rng(FORMATS.index(kind))
    upload = encode(EYE, kind, **laden(kind))
    assert answer(upload) is not None
    answered = [
        answer(damage(upload, rng), (PIL, OPENCV, IN_SRGB)[n % 3]) is not None for n in range(400)
    ]
    assert 0 < sum(answered) < 400


@pytest.mark.filterwarnings("ignore")
def test_damaged_png_chunks_with_right_checksums_give_no_other_error() -> None:
    rng = np.random.default_rng(7)
    rgba = Image.fromarray(EYE).convert("RGBA")
    animated = encode(rgba, "PNG", save_all=True, append_images=[rgba.rotate(90)])
    palette = encode(rgba.quantize(8), "PNG", transparency=bytes(range(0, 200, 25)))
    files = [encode(EYE, "PNG", **laden("PNG")), animated, palette]
    answered = [answer(spliced(files[n % 3], rng)) is not None for n in range(400)]
    assert 0 < sum(answered) < 400


def spliced(upload: bytes, rng: np.random.Generator) -> bytes:
    """Return a PNG with one chunk damaged, removed, doubled, moved or renamed."""
    chunks, offset = [], 8
    while offset < len(upload):
        (length,) = struct.unpack(">I", upload[offset : offset + 4])
        chunks.append((upload[offset + 4 : offset + 8], upload[offset + 8 : offset + 8 + length]))
        offset += length + 12
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
def test_nonsense_beside_the_pixels_does_not_cost_the_answer(kind: Format) -> None:
    rng = np.random.default_rng(1)
    clean = exact(encode(EYE, kind))
    spec = replace(UNCHANGED, srgb=True)
    starts = [b"Exif\0\0II*\0\x08\0\0\0", b"Exif\0\0MM\0*\0\0\0\x08", b"Exif\0\0", b""]
    for n in range(100):
        exif = starts[n % 4] + rng.bytes(int(rng.integers(1, 200)))
        upload = encode(EYE, kind, exif=exif, icc_profile=rng.bytes(100))
        # Random EXIF data may turn the picture, so the pixels are compared in sorted order.
        pixels = decode(upload, spec, LIMIT).pixels
        assert sorted(pixels.ravel()) == sorted(clean.ravel())


@pytest.mark.parametrize(
    "orientation", [b"\x02\0\x02\0\0\0ab\0\0", b"\x05\0\x01\0\0\0\xff\xff\xff\xff"]
)
def test_an_orientation_that_is_no_number_changes_nothing(orientation: bytes) -> None:
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01" + orientation + bytes(4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert np.array_equal(exact(encode(EYE, "PNG", exif=exif)), EYE)


def test_pillows_warnings_do_not_reach_the_operator() -> None:
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x0f\x01\x02\0\xff\0\0\0\xff\xff\0\0" + bytes(4)
    upload = encode(EYE, "JPEG", exif=exif)
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
