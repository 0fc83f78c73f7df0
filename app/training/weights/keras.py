"""Keras's weights of MobileNetV2 (`.h5`), converted to the state dict of our network."""

from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from app.training.network.mobilenetv2 import STAGES
from app.training.weights.pdparams import Arrays

# Batch normalisation adds an epsilon to the variance, and the two libraries use different ones.
_KERAS_EPSILON = 1e-3
_PADDLE_EPSILON = 1e-5


def from_keras(path: Path) -> Arrays:
    """Return the arrays of Keras Applications' MobileNetV2 by the keys of our state dict.

    Load the arrays into a network with `padding="bottom-right"`, because TensorFlow pads in this
    way. The network then gives the same logits as Keras's.

    Args:
        path: an HDF5 file with TensorFlow kernels and scale 1.0.

    Raises:
        KeyError: the file lacks a layer.
        OSError: the file cannot be read or is not HDF5.
    """
    with h5py.File(path, "r") as file:
        return _network(file.get("model_weights", file))


def _network(layers: h5py.Group) -> Arrays:
    arrays = _conv_bn("conv1", layers["Conv1"], layers["bn_Conv1"])
    for k, block in enumerate(_blocks()):
        for theirs, ours in (
            ("expand", "_expand_conv"),
            ("depthwise", "_bottleneck_conv"),
            ("project", "_linear_conv"),
        ):
            name = f"{block}.{ours}"
            if k == 0 and theirs == "expand":
                arrays |= _identity(name, channels=32)
            else:
                conv = layers[f"mobl{k}_conv_{k}_{theirs}"]
                arrays |= _conv_bn(name, conv, layers[f"bn{k}_conv_{k}_bn_{theirs}"])
    arrays |= _conv_bn("conv9", layers["Conv_1"], layers["Conv_1_bn"])
    logits = _datasets(layers["Logits"])
    return arrays | {"out.weight": logits["kernel"], "out.bias": logits["bias"]}


def _blocks() -> list[str]:
    """Return the names of the 17 inverted residual blocks in our state dict, in order."""
    names = []
    for stage, (_, _, n, _) in enumerate(STAGES, start=2):
        names.append(f"conv{stage}._first_block")
        names += [f"conv{stage}.conv{stage}_{i}" for i in range(2, n + 1)]
    return names


def _datasets(group: h5py.Group) -> Arrays:
    """Return {"kernel": array, ...} of one layer, whose group may nest the arrays at any depth."""
    found: Arrays = {}

    def visit(name: str, item: h5py.Dataset | h5py.Group) -> None:
        if isinstance(item, h5py.Dataset):
            found[name.rsplit("/", 1)[-1].removesuffix(":0")] = np.asarray(item, np.float32)

    group.visititems(visit)
    return found


def _conv_bn(name: str, conv_group: h5py.Group, bn_group: h5py.Group) -> Arrays:
    conv, bn = _datasets(conv_group), _datasets(bn_group)
    if "depthwise_kernel" in conv:
        kernel = conv["depthwise_kernel"].transpose(2, 3, 0, 1)  # (H, W, C, 1) -> (C, 1, H, W)
    else:
        kernel = conv["kernel"].transpose(3, 2, 0, 1)  # (H, W, I, O) -> (O, I, H, W)
    variance = bn["moving_variance"] + np.float32(_KERAS_EPSILON - _PADDLE_EPSILON)
    return _named(name, kernel, (bn["gamma"], bn["beta"], bn["moving_mean"], variance))


def _identity(name: str, channels: int) -> Arrays:
    """Return an expansion that does not change its input.

    PaddleClas's network has an expansion in the first block, and Keras's has none. The ReLU6 behind
    the expansion does not change the values either, because they lie in [0, 6] already.
    """
    ones, zeros = np.ones(channels, np.float32), np.zeros(channels, np.float32)
    kernel = np.eye(channels, dtype=np.float32)[:, :, None, None]
    return _named(name, kernel, (ones, zeros, zeros, ones - np.float32(_PADDLE_EPSILON)))


def _named(
    name: str, kernel: npt.NDArray[np.float32], bn: tuple[npt.NDArray[np.float32], ...]
) -> Arrays:
    names = ("weight", "bias", "_mean", "_variance")
    statistics = {f"{name}._batch_norm.{n}": a for n, a in zip(names, bn, strict=True)}
    return {f"{name}._conv.weight": np.ascontiguousarray(kernel), **statistics}
