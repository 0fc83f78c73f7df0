"""The preprocessing spec of a bundle: `PreProcess.transform_ops` of its `inference.yml`, read once.

The ops and their defaults are those of PaddleClas and PaddleX. One spec serves evaluation,
prediction, export and serving alike; `images` does the geometry, `engine` the normalisation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL.Image import Resampling

from app.errors import BundleError

_PILLOW_FILTERS = {
    "nearest": Resampling.NEAREST,
    "bilinear": Resampling.BILINEAR,
    "bicubic": Resampling.BICUBIC,
    "box": Resampling.BOX,
    "lanczos": Resampling.LANCZOS,
    "hamming": Resampling.HAMMING,
}
# OpenCV's names; its linear and cubic filters look at 2x2 and 4x4 pixels however large the photo.
_OPENCV_FILTERS = {
    "nearest": Resampling.NEAREST,
    "bilinear": Resampling.BILINEAR,
    "bicubic": Resampling.BICUBIC,
    "area": Resampling.BOX,
}
_POINT_SAMPLED = {"nearest", "bilinear", "bicubic"}


@dataclass(frozen=True)
class Preprocessing:
    """What is done to an upright RGB photo before the network sees it.

    Attributes:
        resize_short: length of the short side after resizing; None where `resize` is given.
        resize: (width, height) after resizing without regard to the aspect ratio, or None.
        crop: (width, height) cut from the centre; the network's input size.
        resample: Pillow's filter.
        antialias: widen the filter when shrinking (Pillow's habit); False samples like OpenCV.
        scale, mean, std: y = (x * scale - mean) / std for x in 0..255, a channel each of R, G, B.
    """

    resize_short: int | None
    resize: tuple[int, int] | None
    crop: tuple[int, int]
    resample: Resampling
    antialias: bool
    scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def resized(self, width: int, height: int) -> tuple[int, int]:
        """Return (width, height) of a photo after resizing, rounded as PaddleClas rounds."""
        if self.resize:
            return self.resize
        ratio = (self.resize_short or min(self.crop)) / min(width, height)
        return round(width * ratio), round(height * ratio)


def read_transform_ops(ops: Sequence[Mapping[str, Any]]) -> Preprocessing:
    """Read `PreProcess.transform_ops`.

    Raises:
        BundleError: an op or a value that we do not know; guessing would give wrong answers.
    """
    known: dict[str, dict[str, Any]] = {}
    for op in ops:
        for name, parameters in op.items():
            if name not in _PARAMETERS:
                raise BundleError(f"unknown transform op {name!r}")
            unknown = set(parameters or {}) - _PARAMETERS[name]
            if unknown:
                raise BundleError(f"{name}: unknown parameter {min(unknown)!r}")
            known[name] = dict(parameters or {})
    _check_order(list(known))
    try:
        return _preprocessing(known)
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"transform ops: cannot read {error}") from error


# In the only order that makes sense for them.
_PARAMETERS = {
    "DecodeImage": {"to_rgb", "to_np", "channel_first", "backend"},
    "ResizeImage": {"size", "resize_short", "interpolation", "backend", "return_numpy"},
    "CropImage": {"size"},
    "NormalizeImage": {"scale", "mean", "std", "order", "channel_num", "output_fp16"},
    "ToCHWImage": set[str](),
}


def _check_order(names: list[str]) -> None:
    if names != [name for name in _PARAMETERS if name in names]:
        raise BundleError(f"transform ops in an order we do not know: {', '.join(names)}")
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
    if normalize.get("channel_num", 3) != 3:
        raise BundleError("NormalizeImage: channel_num other than 3 is not supported")
    if normalize.get("output_fp16", False):
        raise BundleError("NormalizeImage: output_fp16 is not supported")

    resize_short = resize.get("resize_short") or None
    size = _size(resize_short or resize["size"])
    if resize_short and "CropImage" not in ops:
        raise BundleError("resize_short without CropImage leaves the input size open")
    crop = _size(ops["CropImage"]["size"]) if "CropImage" in ops else size
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
        mean=_channels(normalize.get("mean") or (0.485, 0.456, 0.406)),
        std=_channels(normalize.get("std") or (0.229, 0.224, 0.225)),
    )


def _size(value: Any) -> tuple[int, int]:  # noqa: ANN401  (YAML)
    width, height = (value, value) if isinstance(value, int) else value
    if not (isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0):
        raise BundleError(f"not a size in pixels: {value!r}")
    return width, height


def _filter(interpolation: str | None, backend: str) -> tuple[Resampling, bool]:
    name, backend = (interpolation or "bilinear").lower(), backend.lower()
    filters = {"pil": _PILLOW_FILTERS, "cv2": _OPENCV_FILTERS}.get(backend, {})
    if name not in filters:
        raise BundleError(f"ResizeImage: unknown interpolation {name!r} of backend {backend!r}")
    return filters[name], backend == "pil" or name not in _POINT_SAMPLED


def _fraction(value: Any) -> float:  # noqa: ANN401  (YAML)
    """Read 0.0039 as well as '1.0/255.0' (which PaddleClas gives to eval; we do not)."""
    if value is None:
        return 1 / 255
    numerator, _, denominator = str(value).partition("/")
    return float(numerator) / float(denominator or 1)


def _channels(values: Sequence[Any]) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue
