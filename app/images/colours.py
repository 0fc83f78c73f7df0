"""The colours of a photo with an embedded profile, converted to sRGB.

Phones embed Display P3, cameras Adobe RGB, and print shops profiles of CMYK. Networks are trained
on sRGB, so they would see paler or wrong colours. LittleCMS computes the conversion.
"""

import io
from functools import cache, lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

Transform = ImageCms.ImageCmsTransform

# A longer profile is not used, and a longer one than the second number is read anew each time.
# Those of phones and cameras have up to 20 kB, those of CMYK about 1 MB.
_MAX_BYTES, _MAX_CACHED_BYTES = 4 * 2**20, 64 * 2**10
# A profile that changes no colour by more grey levels is one of the many variants of sRGB.
_SAME = 2
# For each colour space of a profile, the mode of the pixels that it describes.
_MODES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}
_GREY_MODES = {"1", "L", "LA", "I;16", "I;16B", "I;16L"}
# These are what Photoshop and GIMP do by default.
_INTENT = ImageCms.Intent.RELATIVE_COLORIMETRIC
_FLAGS = ImageCms.Flags.BLACKPOINTCOMPENSATION


def to_srgb(image: Image.Image) -> Transform | None:
    """Return the transform from the image's profile to sRGB.

    None means that the image has no profile, that its profile is damaged or belongs to another
    kind of image, or that the transform would change next to nothing.
    """
    profile = image.info.get("icc_profile")
    if not isinstance(profile, bytes) or not 0 < len(profile) <= _MAX_BYTES:
        return None
    transform = (_cached if len(profile) <= _MAX_CACHED_BYTES else _transform)(profile)
    return transform if transform and _fits(transform, image.mode) else None


def converted(picture: Image.Image, transform: Transform) -> Image.Image:
    """Return a picture (RGB, or CMYK for a transform of CMYK) as sRGB."""
    if transform.input_mode == "L":
        picture = picture.getchannel(0)
    return transform.apply(picture)


def _fits(transform: Transform, mode: str) -> bool:
    if transform.input_mode == "RGB":
        return mode != "CMYK"
    return mode == "CMYK" if transform.input_mode == "CMYK" else mode in _GREY_MODES


def _transform(profile: bytes) -> Transform | None:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = _MODES[source.profile.xcolor_space]
        transform = ImageCms.ImageCmsTransform(source, _srgb(), mode, "RGB", _INTENT, flags=_FLAGS)
        return transform if _changes(transform) else None
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001  (an upload with a damaged profile still has its pixels)
        return None


_cached = lru_cache(maxsize=8)(_transform)


def _changes(transform: Transform) -> bool:
    """Return whether the transform changes a colour visibly."""
    colours = _samples(transform.input_mode)
    before, after = (
        np.asarray(picture, np.int16)
        for picture in (colours.convert("RGB"), transform.apply(colours))
    )
    return int(np.abs(before - after).max()) > _SAME


@cache
def _samples(mode: str) -> Image.Image:
    """Return colours from everywhere in the space of a mode."""
    channels, steps = {"L": (1, 32), "RGB": (3, 8), "CMYK": (4, 4)}[mode]
    levels = np.linspace(0, 255, steps).astype(np.uint8)
    grid: npt.NDArray[np.uint8] = np.stack(np.meshgrid(*[levels] * channels), axis=-1)
    return Image.frombytes(mode, (grid.size // channels, 1), grid.tobytes())


@cache
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
