"""From upload bytes to upright RGB of the network's input size. The only home of decoding."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, TiffImagePlugin
from pydantic import BaseModel, Field

from app.errors import BrokenImage, ServiceError, UnsupportedImage
from app.images.formats import Format, sniff
from app.images.limits import check_parts, check_pixels
from app.images.preprocessing import Preprocessing

# Our own limit, checked before decoding, takes the place of Pillow's warning.
Image.MAX_IMAGE_PIXELS = None
# Pillow's own way with uncompressed TIFFs takes planes of 16 bits for 8: noise.
TiffImagePlugin.READ_LIBTIFF = True
# What is odd in an upload is its sender's affair: no line for the operator, no registry that grows.
warnings.filterwarnings("ignore", module=r"PIL\.")

_Transpose = Image.Transpose
_UPRIGHT = {  # EXIF orientation -> what undoes it
    2: _Transpose.FLIP_LEFT_RIGHT,
    3: _Transpose.ROTATE_180,
    4: _Transpose.FLIP_TOP_BOTTOM,
    5: _Transpose.TRANSPOSE,
    6: _Transpose.ROTATE_270,
    7: _Transpose.TRANSVERSE,
    8: _Transpose.ROTATE_90,
}
_ON_THEIR_SIDE = {5, 6, 7, 8}


class UploadedImage(BaseModel):
    """What was uploaded: upright, before any resizing."""

    width: int = Field(ge=1, description="Pixels")
    height: int = Field(ge=1, description="Pixels")
    format: Format


@dataclass(frozen=True)
class Photo:
    """A decoded upload.

    Attributes:
        pixels: (H, W, 3) uint8, RGB, of the size in the spec's `crop`.
        width, height: of the upload, upright.
        format: by content, not by name.
    """

    pixels: npt.NDArray[np.uint8]
    width: int
    height: int
    format: Format


def decode(data: bytes, spec: Preprocessing, max_pixels: int) -> Photo:
    """Decode an upload and bring it to the network's input size.

    Raises:
        EmptyFile, UnsupportedImage, TooManyPixels, BrokenImage: see their texts.
    """
    kind = sniff(data)
    with _opened(data, kind, max_pixels) as image:
        return _photo(image, kind, spec)


def decode_full(data: bytes, max_pixels: int, at_least: int | None = None) -> Image.Image:
    """Decode an upload whole: upright, RGB, in its own size.

    Args:
        data: the upload.
        max_pixels: larger images are refused.
        at_least: where the short side may come out as small as this, large JPEGs are quicker.

    Raises:
        EmptyFile, UnsupportedImage, TooManyPixels, BrokenImage: see their texts.
    """
    with _opened(data, sniff(data), max_pixels) as image:
        if at_least:
            image.draft(None, (at_least, at_least))
        image.load()
        return _upright(image)


@contextmanager
def _opened(data: bytes, kind: Format, max_pixels: int) -> Iterator[Image.Image]:
    try:
        check_parts(data, kind)
        with Image.open(io.BytesIO(data), formats=(kind,)) as image:
            check_pixels(image, max_pixels)
            _mend_transparency(image, data)
            yield image
    except ServiceError:
        raise
    except Exception as error:  # decoders raise nearly anything on crafted files
        raise BrokenImage(f"The {kind} image is truncated or damaged") from error


def _mend_transparency(image: Image.Image, data: bytes) -> None:
    """Bring the transparent grey of a PNG to the scale of its pixels: from 2 or 4 bits to 8."""
    key = image.info.get("transparency")
    if image.mode == "L" and isinstance(key, int) and image.format == "PNG":
        depth = data[24]  # in the header, which comes first
        image.info["transparency"] = key * 255 // (2**depth - 1)


def _photo(image: Image.Image, kind: Format, spec: Preprocessing) -> Photo:
    width, height = image.size
    _draft(image, spec)
    image.load()
    rgb = _upright(image)
    if _orientation(image) in _ON_THEIR_SIDE:
        width, height = height, width
    pixels = _resize_and_crop(rgb, spec.resized(width, height), spec)
    return Photo(np.asarray(pixels), width, height, kind)


def _draft(image: Image.Image, spec: Preprocessing) -> None:
    """Let the JPEG decoder halve a large photo in its DCT while it stays above the wanted size."""
    side = spec.resize_short or max(spec.resize or (0, 0))
    if side:
        image.draft(None, (side, side))


def _upright(image: Image.Image) -> Image.Image:
    """Return the pixels as 8-bit RGB, the way up that EXIF says."""
    turn, rgb = _UPRIGHT.get(_orientation(image)), _rgb(image)
    return rgb if turn is None else rgb.transpose(turn)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # noqa: BLE001  (nonsense in EXIF is no reason to refuse the pixels)
        return 1


def _rgb(image: Image.Image) -> Image.Image:
    """Return the pixels as 8-bit RGB: alpha on white, 16-bit grey by its high byte."""
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    if image.mode.startswith("I;16"):
        image = _high_byte(image)
    if image.mode in ("I", "F", "LAB"):
        raise UnsupportedImage("Images of 32 bits a channel or in Lab colours are not read")
    if image.has_transparency_data and not _alpha_is_unused(image):
        white, colours = Image.new("RGB", image.size, "white"), image.convert("RGBA")
        white.paste(colours, mask=colours)  # alpha_composite would hold Python's lock all the while
        return white
    return image.convert("RGB")


def _alpha_is_unused(image: Image.Image) -> bool:
    """Tell whether an alpha of nothing but zeros is the fourth byte that many BMPs leave empty."""
    if image.format != "BMP" or image.mode != "RGBA":
        return False
    return image.getchannel("A").getextrema() == (0, 0)


def _high_byte(image: Image.Image) -> Image.Image:
    """Return deep grey in 8 bits; a TIFF's may have only 12 bits, or count from white."""
    bits, from_white = 16, False
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        bits = image.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (bits,))[0]
        from_white = image.tag_v2.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0
    grey = (np.asarray(image) >> (bits - 8)).astype(np.uint8)
    return Image.fromarray(~grey if from_white else grey)


def _resize_and_crop(
    image: Image.Image, resized: tuple[int, int], spec: Preprocessing
) -> Image.Image:
    """Resize to `resized` and cut the centre, in one pass over just the pixels that stay."""
    left, right = _span(image.width, resized[0], spec.crop[0])
    top, bottom = _span(image.height, resized[1], spec.crop[1])
    box = (left, top, right, bottom)
    if spec.antialias:
        return image.resize(spec.crop, spec.resample, box)
    return image.transform(spec.crop, Image.Transform.EXTENT, box, spec.resample)


def _span(length: int, resized: int, crop: int) -> tuple[float, float]:
    """Return where a centre crop of the resized length begins and ends in the original."""
    start = (resized - crop) // 2
    return start * length / resized, min(float(length), (start + crop) * length / resized)
