"""`weights build` and `weights import`: from an origin's file to a checked bundle."""

import importlib
from pathlib import Path

from paddle import nn

from app.errors import StartupError
from app.model.bundle import sha256
from app.training.data.class_names import read_labels
from app.training.network.export import Card, export
from app.training.weights.origins import (
    _IMAGENET_NORMALIZE,
    _IMAGENET_RESIZE,
    _read,
    _set_state,
    model_name,
    read_file,
    read_origin,
    transform_ops,
)
from app.training.weights.sources import SOURCES, WEIGHTS

IMAGENET_LABELS = WEIGHTS / "imagenet1k_labels.txt"


def build(name: str, directory: Path | None = None, sources_file: Path = SOURCES) -> Path:
    """Fetch the origin `name` of `sources_file` and make it a bundle beside it; return its place.

    Raises:
        StartupError: there is no such origin, or its file is not what it should be.
        FetchError: it cannot be fetched.
    """
    origin = read_origin(name, sources_file)
    labels = read_labels(IMAGENET_LABELS)
    card = Card(model_name(origin.scale), origin.transform_ops, labels, origin.provenance)
    return _export(origin.network, card, directory or sources_file.with_name(name))


def import_file(file: Path, labels: Path | None = None, directory: Path | None = None) -> Path:
    """Make a bundle of a local MobileNetV2: PaddleClas's `.pdparams` or Keras's `.h5`.

    The width and the number of classes are read from the parameters' shapes. `labels` has a name
    a line; without it the 1000 of ImageNet are meant.

    Raises:
        StartupError: it is not such a file, or the labels do not fit it.
    """
    origin = read_file(file)
    names = read_labels(labels or IMAGENET_LABELS)
    card = Card(model_name(origin.scale), origin.transform_ops, names, origin.provenance)
    return _export(origin.network, card, directory or WEIGHTS / file.stem)


def build_paddleclas(
    network: str, params: Path, labels: Path | None = None, directory: Path | None = None
) -> Path:
    """Make a bundle of any classifier network of PaddleClas and its parameters.

    Raises:
        StartupError: PaddleClas is not installed, has no such network, or the files do not fit.
    """
    try:
        zoo = importlib.import_module("paddleclas.ppcls.arch.backbone")
    except ImportError as error:
        raise StartupError(
            "PaddleClas is not installed here: run `make paddleclas` once, "
            "then `.venv-paddleclas/bin/python -m app weights build ...`"
        ) from error
    names = read_labels(labels or IMAGENET_LABELS)
    try:
        layer = getattr(zoo, network)(class_num=len(names))
    except (AttributeError, TypeError) as error:  # no such name, or not a network's
        raise StartupError(f"PaddleClas has no network {network!r}") from error
    _set_state(layer, _read(params), params)
    provenance = {
        "source": f"PaddleClas, {network}, {params.name}",
        "fetched_sha256": sha256(params),
    }
    card = Card(network, transform_ops(_IMAGENET_RESIZE, _IMAGENET_NORMALIZE), names, provenance)
    return _export(layer, card, directory or WEIGHTS / network)


def _export(network: nn.Layer, card: Card, directory: Path) -> Path:
    export(network, card, directory)
    return directory
