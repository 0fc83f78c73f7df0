"""The network that training starts from: pretrained or random weights, and a new classifier."""

from collections.abc import Sequence
from pathlib import Path

import paddle

from app.errors import StartupError
from app.images.preprocessing import Preprocessing
from app.model.transform_ops import read_transform_ops
from app.training.network.mobilenetv2 import MobileNetV2
from app.training.options import DEFAULT_SCALE, Options, Recipe
from app.training.weights.origins import (
    KERAS_NORMALIZE,
    KERAS_RESIZE,
    Origin,
    model_name,
    read_file,
    read_origin,
    resized,
    transform_ops,
)
from app.training.weights.sources import DEFAULT


def initial_network(options: Options, classes: tuple[str, ...]) -> tuple[Recipe, MobileNetV2]:
    """Return the recipe of a new run and its network.

    The classifier has random weights, or those of an earlier run with the same classes.

    Raises:
        StartupError: the weights cannot be found or read, or have another scale than `options`.
    """
    origin = None if options.weights == "none" else _origin(options)
    ops = origin.transform_ops if origin else transform_ops(KERAS_RESIZE, KERAS_NORMALIZE)
    columns = _columns(origin.classes, classes) if origin else []
    recipe = Recipe(
        options=options,
        classes=classes,
        scale=origin.scale if origin else options.scale,
        padding=origin.padding if origin else "symmetric",
        pretrained=origin is not None,
        transform_ops=resized(ops, options.size),
        origin=origin.provenance if origin else {"source": "random weights"},
        srgb=True,
        keeps_classifier=bool(columns),
    )
    paddle.seed(options.seed)
    network = build_network(recipe)
    if origin:
        _copy(origin.network, network)
        if columns:
            _copy_classifier(origin.network, network, columns)
    return recipe, network


def build_network(recipe: Recipe) -> MobileNetV2:
    """Return a network with the recipe's classes, scale and padding, and with random weights."""
    return MobileNetV2(len(recipe.classes), recipe.scale, padding=recipe.padding)


def preprocessing(recipe: Recipe, size: int) -> Preprocessing:
    """Return the preprocessing of a run for an input of `size` x `size` pixels."""
    return read_transform_ops(resized(recipe.transform_ops, size), recipe.srgb)


def _origin(options: Options) -> Origin:
    if (file := Path(options.weights)).suffix in (".pdparams", ".h5"):
        origin = read_file(file)
    elif options.weights == "auto":
        is_default = options.scale == DEFAULT_SCALE
        origin = read_origin(DEFAULT if is_default else model_name(options.scale))
    else:
        origin = read_origin(options.weights)
    if origin.scale != options.scale:
        raise StartupError(
            f"the weights {options.weights} have scale {origin.scale:g}, not {options.scale:g}; "
            f"use --scale {origin.scale:g}"
        )
    return origin


def _columns(before: Sequence[str], now: Sequence[str]) -> list[int]:
    """Return, for each class now, its number among those before; [] if the classes differ."""
    number = {name: i for i, name in enumerate(before)}
    if len(number) < len(before) or len(before) != len(now) or number.keys() != set(now):
        return []
    return [number[name] for name in now]


def _copy_classifier(source: MobileNetV2, target: MobileNetV2, columns: list[int]) -> None:
    """Copy the classifier; its class i is the class `columns[i]` of the source."""
    target.out.weight.set_value(source.out.weight.numpy()[:, columns])
    target.out.bias.set_value(source.out.bias.numpy()[columns])


def _copy(source: MobileNetV2, target: MobileNetV2) -> None:
    """Copy everything except the classifier from `source` to `target`."""
    state = source.state_dict()
    for key, value in target.state_dict().items():
        if not key.startswith("out."):
            value.set_value(state[key])
