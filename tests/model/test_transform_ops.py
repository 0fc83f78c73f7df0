"""`PreProcess.transform_ops` as PaddleClas and PaddleX write it, and the errors of other values."""

from typing import Any

import pytest
import yaml
from PIL.Image import Resampling

from app.errors import BundleError
from app.images.preprocessing import Preprocessing
from app.model.transform_ops import read_transform_ops

PADDLECLAS = """
- DecodeImage: {to_rgb: true, channel_first: false}
- ResizeImage: {resize_short: 256}
- CropImage: {size: 224}
- NormalizeImage:
    scale: 1.0/255.0
    mean: [0.485, 0.456, 0.406]
    std: [0.229, 0.224, 0.225]
    order: ''
- ToCHWImage:
"""
PADDLEX = """
- ResizeImage: {resize_short: 256}
- CropImage: {size: 224}
- NormalizeImage:
    channel_num: 3
    mean: [0.485, 0.456, 0.406]
    order: ''
    scale: 0.00392156862745098
    std: [0.229, 0.224, 0.225]
- ToCHWImage: null
"""
NONSENSE = [
    "import os", "", "256", "nan", "0/0", "1/0", True, False, 0, -1, 0.5, float("nan"),
    float("inf"), 10**400, [], {}, [1], ["a", "b"], [256, "256"], [1, 2, 3], {"size": 1},
    [None] * 3,
]  # fmt: skip


def ops(text: str = PADDLEX, **changes: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Return the ops in `text` with changed parameters; None as a change removes the op."""
    parsed: list[dict[str, Any]] = yaml.safe_load(text)
    return [
        {name: {**(parameters or {}), **(changes.get(name) or {})} or None}
        for op in parsed
        for name, parameters in op.items()
        if changes.get(name, {}) is not None
    ]


def only(**resize: Any) -> Preprocessing:  # noqa: ANN401  (YAML)
    return read_transform_ops([{"ResizeImage": resize}, {"NormalizeImage": None}])


@pytest.mark.parametrize("text", [PADDLECLAS, PADDLEX])
def test_reads_both_spellings_alike(text: str) -> None:
    spec = read_transform_ops(ops(text))
    assert spec == Preprocessing(
        resize_short=256,
        resize=None,
        crop=(224, 224),
        resample=Resampling.BILINEAR,
        antialias=False,
        scale=1 / 255,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    )


def test_what_is_not_given_is_imagenets() -> None:
    spec = only(size=224)
    assert spec == read_transform_ops(ops(ResizeImage={"resize_short": None, "size": 224}))


def test_size_is_a_number_or_width_and_height() -> None:
    assert only(size=224).resize == only(size=[224, 224]).resize == (224, 224)
    assert only(size=[320, 240]).crop == (320, 240)


def test_resize_short_goes_before_size() -> None:
    spec = read_transform_ops(ops(ResizeImage={"size": 300}))
    assert (spec.resize_short, spec.resize) == (256, None)


def test_resize_short_of_zero_is_as_if_not_there() -> None:
    assert only(resize_short=0, size=224) == only(size=224)


def test_a_crop_may_be_as_large_as_the_resized_photo() -> None:
    assert read_transform_ops(ops(CropImage={"size": [256, 200]})).crop == (256, 200)


@pytest.mark.parametrize(
    ("resize", "resample", "antialias"),
    [
        ({}, Resampling.BILINEAR, False),
        ({"backend": "cv2", "interpolation": "bicubic"}, Resampling.BICUBIC, False),
        ({"backend": "cv2", "interpolation": "area"}, Resampling.BOX, True),
        ({"backend": "pil"}, Resampling.BILINEAR, True),
        ({"backend": "PIL", "interpolation": "BICUBIC"}, Resampling.BICUBIC, True),
        ({"backend": "pil", "interpolation": "lanczos"}, Resampling.LANCZOS, True),
    ],
)
def test_backend_and_interpolation_choose_the_filter(
    resize: dict[str, str], resample: Resampling, antialias: bool
) -> None:
    spec = only(size=224, **resize)
    assert (spec.resample, spec.antialias) == (resample, antialias)


@pytest.mark.parametrize(("scale", "value"), [("1/255", 1 / 255), ("0.5", 0.5), (1, 1.0)])
def test_scale_is_a_number_or_a_fraction(scale: str | float, value: float) -> None:
    assert read_transform_ops(ops(NormalizeImage={"scale": scale})).scale == value


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([{"ResizeImage": {"size": 224}}], "without NormalizeImage"),
        ([{"NormalizeImage": None}], "without ResizeImage"),
        ([], "without ResizeImage"),
        (ops(CropImage=None), "without CropImage"),
        (ops()[::-1], "in an unknown order"),
        ([*ops(), {"CropImage": {"size": 8}}], "CropImage is given twice"),
        ([{"ResizeImage": 256}, *ops()[1:]], "ResizeImage: not a mapping: 256"),
        ([{"ResizeImage": ["size"]}, *ops()[1:]], "ResizeImage: not a mapping"),
        ([{7: None}], "unknown transform op 7"),
        ([*ops(), {"KeepKeys": {"keep_keys": ["image"]}}], "unknown transform op 'KeepKeys'"),
        (ops(ResizeImage={"resize_long": 256}), "ResizeImage: unknown parameter 'resize_long'"),
        (ops(ResizeImage={"interpolation": "cubist"}), "unknown interpolation 'cubist'"),
        (ops(ResizeImage={"interpolation": 2}), "unknown interpolation '2'"),
        (ops(ResizeImage={"interpolation": "lanczos", "backend": "cv2"}), "of backend 'cv2'"),
        (ops(ResizeImage={"backend": "tv"}), "of backend 'tv'"),
        (ops(ResizeImage={"resize_short": 200}), "larger than the resized photo"),
        (ops(CropImage={"size": [200, 257]}), "larger than the resized photo"),
        (ops(CropImage={"size": [257, 200]}), "larger than the resized photo"),
        (ops(ResizeImage={"resize_short": [256, 300]}), "not a size in pixels"),
        (ops(CropImage={"size": "224"}), "not a size in pixels: '224'"),
        (ops(CropImage={"size": 224.5}), "not a size in pixels: 224.5"),
        (ops(ResizeImage={"resize_short": 10**9}), "not a size in pixels"),
        (ops(CropImage={"size": True}), "not a size in pixels: True"),
        (ops(CropImage={"size": [224, 0]}), "not a size in pixels"),
        (ops(CropImage={"size": [224, 224, 3]}), "not a size in pixels"),
        ([{"ResizeImage": None}, {"NormalizeImage": None}], "not a size in pixels: None"),
        (ops(PADDLECLAS, DecodeImage={"to_rgb": False}), "BGR"),
        (ops(PADDLECLAS, DecodeImage={"channel_first": True}), "channel_first"),
        (ops(NormalizeImage={"channel_num": 4}), "channel_num"),
        (ops(NormalizeImage={"output_fp16": True}), "output_fp16"),
        (ops(NormalizeImage={"order": "chw"}), "order other than hwc"),
        (ops(NormalizeImage={"scale": "import os"}), "scale is not a number above 0: 'import os'"),
        (ops(NormalizeImage={"scale": "1/0"}), "scale is not a number above 0"),
        (ops(NormalizeImage={"scale": "nan"}), "scale is not a number above 0"),
        (ops(NormalizeImage={"scale": 0}), "scale is not a number above 0: 0"),
        (ops(NormalizeImage={"mean": "123"}), "not three numbers: '123'"),
        (ops(NormalizeImage={"mean": [0.5]}), "not three numbers"),
        (ops(NormalizeImage={"mean": [0.5, 0.5, "0.5"]}), "not three numbers"),
        (ops(NormalizeImage={"std": [0.2, 0.2, float("nan")]}), "not three numbers"),
        (ops(NormalizeImage={"std": [0.2, 0, 0.2]}), "std is not above 0"),
    ],
)
def test_refuses_in_one_clear_line(bad: list[dict[Any, Any]], message: str) -> None:
    with pytest.raises(BundleError) as caught:
        read_transform_ops(bad)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("op", "parameter"),
    [
        ("DecodeImage", "to_rgb"), ("DecodeImage", "channel_first"),
        ("ResizeImage", "resize_short"), ("ResizeImage", "size"), ("CropImage", "size"),
        ("ResizeImage", "interpolation"), ("ResizeImage", "backend"),
        ("NormalizeImage", "scale"), ("NormalizeImage", "mean"), ("NormalizeImage", "std"),
        ("NormalizeImage", "order"), ("NormalizeImage", "channel_num"),
    ],
)  # fmt: skip
def test_nonsense_is_refused_or_harmless(op: str, parameter: str) -> None:
    for value in NONSENSE:
        try:
            spec = read_transform_ops(ops(PADDLECLAS, **{op: {parameter: value}}))
        except BundleError:
            continue
        assert min(spec.crop) > 0
        assert min(spec.std) > 0
        assert spec.scale > 0
        assert spec.resized(30, 20) > (0, 0)
