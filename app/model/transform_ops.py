"""Reads our preprocessing spec from `PreProcess.transform_ops` in a bundle's `inference.yml`.

The ops and their default values are those of PaddleClas and PaddleX.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from PIL.Image import Resampling

from app.errors import BundleError
from app.images.preprocessing import Channels, Preprocessing

_PILLOW_FILTERS = {
    "nearest": Resampling.NEAREST,
    "bilinear": Resampling.BILINEAR,
    "bicubic": Resampling.BICUBIC,
    "box": Resampling.BOX,
    "lanczos": Resampling.LANCZOS,
    "hamming": Resampling.HAMMING,
}
_OPENCV_FILTERS = {
    "nearest": Resampling.NEAREST,
    "bilinear": Resampling.BILINEAR,
    "bicubic": Resampling.BICUBIC,
    "area": Resampling.BOX,
}
# With these filters, OpenCV looks at 1, 2x2 or 4x4 pixels, however large the photo is.
_WITHOUT_ANTIALIAS = {"nearest", "bilinear", "bicubic"}


def read_transform_ops(ops: Sequence[Mapping[str, Any]], srgb: bool = False) -> Preprocessing:
    """Return the preprocessing that `PreProcess.transform_ops` describes.

    Args:
        ops: PaddleClas's ops with their parameters.
        srgb: whether `PreProcess.colours`, a key of our own, asks for sRGB.

    Raises:
        BundleError: an op or a value is unknown; guessing its meaning would give wrong answers.
    """
    known: dict[str, dict[str, Any]] = {}
    for op in ops:
        for name, parameters in op.items():
            if name not in _PARAMETERS:
                raise BundleError(f"unknown transform op {name!r}")
            if name in known:
                raise BundleError(f"transform op {name} is given twice")
            known[name] = _parameters(name, parameters)
    _check_order(list(known))
    return replace(_preprocessing(known), srgb=srgb)


# These are the known ops with their parameters, in the only order that makes sense.
_PARAMETERS = {
    "DecodeImage": {"to_rgb", "to_np", "channel_first", "backend"},
    "ResizeImage": {"size", "resize_short", "interpolation", "backend", "return_numpy"},
    "CropImage": {"size"},
    "NormalizeImage": {"scale", "mean", "std", "order", "channel_num", "output_fp16"},
    "ToCHWImage": set[str](),
}


def _parameters(name: str, parameters: Any) -> dict[str, Any]:  # noqa: ANN401  (YAML)
    if not isinstance(parameters, Mapping | None):
        raise BundleError(f"{name}: not a mapping: {parameters!r}")
    for key in parameters or {}:
        if key not in _PARAMETERS[name]:
            raise BundleError(f"{name}: unknown parameter {key!r}")
    return dict(parameters or {})


def _check_order(names: list[str]) -> None:
    if names != [name for name in _PARAMETERS if name in names]:
        raise BundleError(f"transform ops in an unknown order: {', '.join(names)}")
    for needed in ("ResizeImage", "NormalizeImage"):
        if needed not in names:
            raise BundleError(f"transform ops without {needed}")


def _preprocessing(ops: dict[str, dict[str, Any]]) -> Preprocessing:
    decode, resize, normalize = (
        ops.get("DecodeImage", {}),
        ops["ResizeImage"],
        ops["NormalizeImage"],
    )
    if decode.get("to_rgb", True) is not True:
        raise BundleError("DecodeImage: to_rgb false (a BGR model) is not supported")
    if decode.get("channel_first", False) is not False:
        raise BundleError("DecodeImage: channel_first is not supported")
    if normalize.get("order") not in (None, "", "hwc"):
        raise BundleError("NormalizeImage: order other than hwc is not supported")
    if normalize.get("channel_num", 3) != 3:
        raise BundleError("NormalizeImage: channel_num other than 3 is not supported")
    if normalize.get("output_fp16", False):
        raise BundleError("NormalizeImage: output_fp16 is not supported")

    resize_short = resize.get("resize_short") or None
    size = _size((resize_short, resize_short) if resize_short else resize.get("size"))
    if resize_short and "CropImage" not in ops:
        raise BundleError("resize_short without CropImage leaves the input size open")
    crop = _size(ops["CropImage"].get("size")) if "CropImage" in ops else size
    if crop[0] > size[0] or crop[1] > size[1]:
        raise BundleError(f"CropImage {crop} is larger than the resized photo {size}")

    resample, antialias = _filter(resize.get("interpolation"), resize.get("backend") or "cv2")
    return Preprocessing(
        resize_short=resize_short,
        resize=None if resize_short else size,
        crop=crop,
        resample=resample,
        antialias=antialias,
        scale=_fraction(normalize.get("scale")),
        mean=_channels(normalize.get("mean"), (0.485, 0.456, 0.406)),
        std=_positive(_channels(normalize.get("std"), (0.229, 0.224, 0.225))),
    )


def _size(value: Any) -> tuple[int, int]:  # noqa: ANN401  (YAML)
    pair = value if isinstance(value, list | tuple) else (value, value)
    if len(pair) != 2 or not all(type(side) is int and 0 < side < 10_000 for side in pair):
        raise BundleError(f"not a size in pixels: {value!r}")
    return pair[0], pair[1]


def _filter(interpolation: Any, backend: Any) -> tuple[Resampling, bool]:  # noqa: ANN401  (YAML)
    name, backend = str(interpolation or "bilinear").lower(), str(backend).lower()
    filters = {"pil": _PILLOW_FILTERS, "cv2": _OPENCV_FILTERS}.get(backend, {})
    if name not in filters:
        raise BundleError(f"ResizeImage: unknown interpolation {name!r} of backend {backend!r}")
    return filters[name], backend == "pil" or name not in _WITHOUT_ANTIALIAS


def _fraction(value: Any) -> float:  # noqa: ANN401  (YAML)
    """Return a scale that is given as a number (0.0039) or as a fraction ('1.0/255.0').

    PaddleClas gives the text to `eval`; we do not.
    """
    if value is None:
        return 1 / 255
    numerator, _, denominator = str(value).partition("/")
    try:
        fraction = float(numerator) / float(denominator or 1)
    except (ValueError, ZeroDivisionError):
        fraction = math.nan
    if not 0 < fraction < math.inf:
        raise BundleError(f"NormalizeImage: scale is not a number above 0: {value!r}")
    return fraction


def _channels(value: Any, default: Channels) -> Channels:  # noqa: ANN401  (YAML)
    if value is None:
        return default
    if not (isinstance(value, list | tuple) and len(value) == 3 and all(map(_is_number, value))):
        raise BundleError(f"NormalizeImage: not three numbers: {value!r}")
    red, green, blue = map(float, value)
    return red, green, blue


def _positive(std: Channels) -> Channels:
    if min(std) <= 0:
        raise BundleError(f"NormalizeImage: std is not above 0: {std!r}")
    return std


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e6
