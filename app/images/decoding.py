"""Decodes uploads to upright RGB of the network's input size. No other module decodes uploads."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import AvifImagePlugin, ExifTags, Image, TiffImagePlugin
from pydantic import BaseModel, Field

from app.errors import BrokenImage, ServiceError, UnsupportedImage
from app.images import colours, heif
from app.images.formats import Format, sniff
from app.images.limits import check_pixels
from app.images.preprocessing import Box, Preprocessing

# `check_pixels` enforces our own limit before decoding, so Pillow's warning is switched off.
Image.MAX_IMAGE_PIXELS = None
# Pillow's own reader of uncompressed TIFFs takes planes of 16 bits for planes of 8 bits, and the
# result is noise. libtiff reads them correctly.
TiffImagePlugin.READ_LIBTIFF = True
# By default dav1d starts a thread for each core, which a decoder in its sandbox may not do.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1
# Pillow's warnings about an upload concern its sender, not the operator. Ignored warnings are not
# logged, and Python's registry of shown warnings does not grow.
warnings.filterwarnings("ignore", module=r"PIL\.")

_Transpose = Image.Transpose
# Each EXIF orientation maps to the operation that turns the picture upright.
_UPRIGHT = {
    2: _Transpose.FLIP_LEFT_RIGHT,
    3: _Transpose.ROTATE_180,
    4: _Transpose.FLIP_TOP_BOTTOM,
    5: _Transpose.TRANSPOSE,
    6: _Transpose.ROTATE_270,
    7: _Transpose.TRANSVERSE,
    8: _Transpose.ROTATE_90,
}
_SWAPS_WIDTH_AND_HEIGHT = {5, 6, 7, 8}


class UploadedImage(BaseModel):
    """Size and format of the upload: upright, before any resizing. It is in `/openapi.json`."""

    width: int = Field(ge=1, description="Pixels")
    height: int = Field(ge=1, description="Pixels")
    format: Format


@dataclass(frozen=True)
class Photo:
    """A decoded upload.

    Attributes:
        pixels: (H, W, 3) uint8, RGB; the size is the spec's `crop`.
        width, height: size of the whole upload in pixels, upright.
        format: the format as the content shows it, not the file's name.
    """

    pixels: npt.NDArray[np.uint8]
    width: int
    height: int
    format: Format


def decode(data: bytes, spec: Preprocessing, max_pixels: int) -> Photo:
    """Return the decoded upload, resized and cropped to the network's input size.

    Args:
        data: the upload.
        spec: the bundle's preprocessing.
        max_pixels: larger images are refused.

    Raises:
        EmptyFile: the upload has no bytes.
        UnsupportedImage: the upload's format or its kind of colours is not supported.
        TooManyPixels: the image, or a tile of it, has more than `max_pixels`.
        BrokenImage: the image is truncated or damaged.
    """
    kind = sniff(data)
    with _opened(data, kind, max_pixels) as image:
        return _photo(image, kind, spec)


def decode_full(
    data: bytes, max_pixels: int, at_least: int | None = None, srgb: bool = False
) -> Image.Image:
    """Return the whole decoded upload: upright, RGB, in its own size.

    Args:
        data: the upload.
        max_pixels: larger images are refused.
        at_least: if given, a large JPEG is reduced while it is decoded, which is quicker; no side
            becomes shorter than this.
        srgb: whether an embedded colour profile is applied, see `Preprocessing.srgb`.

    Raises:
        EmptyFile, UnsupportedImage, TooManyPixels, BrokenImage: as in `decode`.
    """
    with _opened(data, sniff(data), max_pixels) as image:
        if at_least:
            image.draft(None, (at_least, at_least))
        image.load()
        transform = colours.to_srgb(image) if srgb else None
        upright = _upright(image, transform)
        return colours.converted(upright, transform) if transform else upright


@contextmanager
def _opened(data: bytes, kind: Format, max_pixels: int) -> Iterator[Image.Image]:
    try:
        if kind == "HEIF":
            heif.check_available()
        with Image.open(io.BytesIO(data), formats=(kind,)) as image:
            check_pixels(image, max_pixels)
            _mend_transparency(image, data)
            yield image
    except (ServiceError, MemoryError):
        raise
    except Exception as error:
        # Pillow's decoders raise almost any exception for a crafted file.
        raise BrokenImage(f"The {kind} image is truncated or damaged") from error


def _mend_transparency(image: Image.Image, data: bytes) -> None:
    """Scale a PNG's transparent grey from 2 or 4 bits to 8, as Pillow does with its pixels."""
    key = image.info.get("transparency")
    if image.mode == "L" and isinstance(key, int) and image.format == "PNG":
        # The header is the first chunk, so its bit depth is always this byte.
        depth = data[24]
        image.info["transparency"] = key * 255 // (2**depth - 1)


def _photo(image: Image.Image, kind: Format, spec: Preprocessing) -> Photo:
    width, height = image.size
    _draft(image, spec)
    image.load()
    transform = colours.to_srgb(image) if spec.srgb else None
    upright = _upright(image, transform)
    if _orientation(image) in _SWAPS_WIDTH_AND_HEIGHT:
        width, height = height, width
    pixels = _resize_and_crop(upright, spec.box(width, height, upright.size), spec)
    # The few pixels that are left cost a hundredth of the whole photo, and differ by rounding.
    if transform:
        pixels = colours.converted(pixels, transform)
    return Photo(np.asarray(pixels), width, height, kind)


def _draft(image: Image.Image, spec: Preprocessing) -> None:
    """Let the JPEG decoder halve a large photo in its DCT, but not below the wanted size."""
    side = spec.resize_short or max(spec.resize or (0, 0))
    if side:
        image.draft(None, (side, side))


def _upright(image: Image.Image, transform: colours.Transform | None) -> Image.Image:
    """Return the pixels turned upright by the EXIF orientation, as 8-bit RGB.

    CMYK stays CMYK if a transform follows, which needs all four channels.
    """
    stays = transform is not None and image.mode == "CMYK"
    turn, pixels = _UPRIGHT.get(_orientation(image)), image if stays else _rgb(image)
    return pixels if turn is None else pixels.transpose(turn)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001  (an upload with damaged EXIF data still has its pixels)
        return 1


def _rgb(image: Image.Image) -> Image.Image:
    """Return the pixels as 8-bit RGB: alpha is laid on white, 16-bit grey keeps its high byte."""
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    if image.mode.startswith("I;16"):
        image = _high_byte(image)
    if image.mode in ("I", "F", "LAB"):
        raise UnsupportedImage("Images with 32 bits a channel or Lab colours are not supported")
    if image.has_transparency_data and not _alpha_is_unused(image):
        # `convert` would copy an image that has this mode already: 4 bytes a pixel for nothing.
        rgba = image if image.mode == "RGBA" else image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        # `alpha_composite` would hold Python's lock all the time, so the picture is pasted.
        white.paste(rgba, mask=rgba)
        return white
    return image.convert("RGB")


def _alpha_is_unused(image: Image.Image) -> bool:
    """Return whether a BMP has only zeros as alpha: many BMPs do not use the fourth byte."""
    if image.format != "BMP" or image.mode != "RGBA":
        return False
    return image.getchannel("A").getextrema() == (0, 0)


def _high_byte(image: Image.Image) -> Image.Image:
    """Return 16-bit grey reduced to 8 bits; a TIFF may have 12 bits, or 0 may mean white."""
    bits, zero_is_white = 16, False
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        bits = image.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (bits,))[0]
        zero_is_white = image.tag_v2.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0
    grey = (np.asarray(image) >> (bits - 8)).astype(np.uint8)
    return Image.fromarray(~grey if zero_is_white else grey)


def _resize_and_crop(image: Image.Image, box: Box, spec: Preprocessing) -> Image.Image:
    """Resize and crop to the box, in one pass that computes only the kept pixels."""
    if spec.antialias:
        return image.resize(spec.crop, spec.resample, box)
    return image.transform(spec.crop, Image.Transform.EXTENT, box, spec.resample)
