"""The network that training begins with: known weights or none, and a new classifier."""

from pathlib import Path
from typing import Any

import paddle

from app.errors import StartupError
from app.training.network.mobilenetv2 import MobileNetV2
from app.training.options import DEFAULT_SCALE, Options, Recipe
from app.training.weights.origins import (
    KERAS_NORMALIZE,
    KERAS_RESIZE,
    Origin,
    model_name,
    read_file,
    read_origin,
    transform_ops,
)
from app.training.weights.sources import DEFAULT


def start(options: Options, classes: tuple[str, ...]) -> tuple[Recipe, MobileNetV2]:
    """Return what the network is and the network, with a classifier that knows nothing yet.

    Raises:
        StartupError: there are no such weights, or they are of another width.
    """
    origin = None if options.weights == "none" else _origin(options)
    ops = origin.transform_ops if origin else transform_ops(KERAS_RESIZE, KERAS_NORMALIZE)
    recipe = Recipe(
        options=options,
        classes=classes,
        scale=origin.scale if origin else options.scale,
        padding=origin.padding if origin else "symmetric",
        pretrained=origin is not None,
        transform_ops=_resized(ops, options.size),
        origin=origin.provenance if origin else {"source": "random weights"},
    )
    paddle.seed(options.seed)
    network = build_network(recipe)
    if origin:
        _copy(origin.network, network)
    return recipe, network


def build_network(recipe: Recipe) -> MobileNetV2:
    """Return a network of the recipe's shape with random weights."""
    return MobileNetV2(len(recipe.classes), recipe.scale, padding=recipe.padding)


def _origin(options: Options) -> Origin:
    if (file := Path(options.weights)).suffix in (".pdparams", ".h5"):
        origin = read_file(file)
    elif options.weights == "auto":
        same = options.scale == DEFAULT_SCALE
        origin = read_origin(DEFAULT if same else model_name(options.scale))
    else:
        origin = read_origin(options.weights)
    if origin.scale != options.scale:
        raise StartupError(
            f"the weights {options.weights} have scale {origin.scale:g}, not {options.scale:g}"
        )
    return origin


def _copy(source: MobileNetV2, target: MobileNetV2) -> None:
    """Take over everything but the classifier."""
    state = source.state_dict()
    for key, value in target.state_dict().items():
        if not key.startswith("out."):
            value.set_value(state[key])


def _resized(ops: list[dict[str, Any]], size: int) -> list[dict[str, Any]]:
    """Return the same preprocessing for another input: the short side is 8/7 of it."""
    changed = {"resize_short": round(size * 8 / 7)}
    resize = {"ResizeImage": {**ops[0]["ResizeImage"], **changed}}
    return [resize, {"CropImage": {"size": size}}, *ops[2:]]
