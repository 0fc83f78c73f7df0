"""`weights build` and `weights import`: published or local weights built into a checked bundle."""

import importlib
from collections.abc import Sequence
from pathlib import Path

from paddle import nn
from rich.console import Console

from app.errors import StartupError
from app.model.bundle import sha256
from app.training.data.class_names import read_labels
from app.training.network.export import Card, export
from app.training.weights.origins import (
    IMAGENET_NORMALIZE,
    IMAGENET_RESIZE,
    Origin,
    load_state,
    model_name,
    read_file,
    read_origin,
    read_parameters,
    resized,
    transform_ops,
)
from app.training.weights.sources import SOURCES, WEIGHTS

# Width and height of the input, in pixels, for which weights are published.
PUBLISHED_SIZE = 224
IMAGENET_LABELS = WEIGHTS / "imagenet1k_labels.txt"


def build(
    name: str,
    directory: Path | None = None,
    sources_file: Path = SOURCES,
    size: int = PUBLISHED_SIZE,
) -> Path:
    """Fetch the origin `name` of `sources_file` and build a bundle of it; return the bundle's path.

    Args:
        name: the origin.
        directory: of the bundle; by default a folder beside `sources_file` that has the name, and
            the size if it is not the published one.
        sources_file: describes the origins.
        size: width and height of the network's input in pixels, a multiple of 32. The published
            accuracy holds for the published size, so bundles of other sizes do not record it.

    Raises:
        StartupError: `sources_file` has no such origin, the origin's file does not fit the network,
            or `directory` cannot be replaced.
        FetchError: the file cannot be fetched, or it does not have the pinned SHA-256.
    """
    origin = read_origin(name, sources_file)
    labels = read_labels(IMAGENET_LABELS)
    if size != PUBLISHED_SIZE:
        provenance = {key: v for key, v in origin.provenance.items() if key != "accuracy"}
        ops = resized(origin.transform_ops, size)
        origin = origin._replace(transform_ops=ops, provenance=provenance)
        name = f"{name}_{size}"
    return _export_origin(origin, labels, directory or sources_file.with_name(name))


def import_file(file: Path, labels: Path | None = None, directory: Path | None = None) -> Path:
    """Build a bundle of a local MobileNetV2; return the bundle's path.

    The width and the number of classes are read from the parameters' shapes.

    Args:
        file: weights of PaddleClas or of a run (`.pdparams`), or of Keras (`.h5`).
        labels: a file with one class name per line; by default ImageNet's 1000 names.
        directory: the bundle's path; by default a folder below weights/ with the file's name.

    Raises:
        StartupError: the file has other contents, the number of labels is not the number of
            classes, or `directory` cannot be replaced.
    """
    origin = read_file(file)
    names = read_labels(labels or IMAGENET_LABELS)
    return _export_origin(origin, names, directory or WEIGHTS / file.stem)


def build_paddleclas(
    network: str, params: Path, labels: Path | None = None, directory: Path | None = None
) -> Path:
    """Build a bundle of any classifier network of PaddleClas; return the bundle's path.

    Args:
        network: the name of the network's function in PaddleClas.
        params: the network's parameters (`.pdparams`).
        labels: a file with one class name per line; by default ImageNet's 1000 names.
        directory: the bundle's path; by default a folder below weights/ with the network's name.

    Raises:
        StartupError: PaddleClas is not installed or has no such network, the parameters or the
            labels do not fit the network, or `directory` cannot be replaced.
    """
    try:
        backbones = importlib.import_module("paddleclas.ppcls.arch.backbone")
    except ImportError as error:
        raise StartupError(
            "PaddleClas is not installed here: run `make paddleclas` once, "
            "then `.venv-paddleclas/bin/python -m app weights build ...`"
        ) from error
    names = read_labels(labels or IMAGENET_LABELS)
    try:
        layer = getattr(backbones, network)(class_num=len(names))
    # A TypeError means that the name belongs to something that is not a network.
    except (AttributeError, TypeError) as error:
        raise StartupError(f"PaddleClas has no network {network!r}") from error
    load_state(layer, read_parameters(params), params)
    provenance = {
        "source": f"PaddleClas, {network}, {params.name}",
        "fetched_sha256": sha256(params),
    }
    card = Card(network, transform_ops(IMAGENET_RESIZE, IMAGENET_NORMALIZE), names, provenance)
    return _export(layer, card, directory or WEIGHTS / network)


def _export_origin(origin: Origin, labels: Sequence[str], directory: Path) -> Path:
    name = model_name(origin.scale)
    card = Card(name, origin.transform_ops, labels, origin.provenance, origin.srgb)
    return _export(origin.network, card, directory)


def _export(network: nn.Layer, card: Card, directory: Path) -> Path:
    line = f"exporting {card.name} with {len(card.labels)} classes, and checking its answers"
    Console(stderr=True, markup=False, highlight=False).print(line, soft_wrap=True)
    export(network, card, directory)
    return directory
