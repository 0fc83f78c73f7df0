"""Batch normalisation and the temperature, folded into the weights of the network's layers."""

import copy

import numpy as np
import paddle
from paddle import nn

# ruff: noqa: SLF001  (the layers have PaddleClas's names, which begin with an underscore)
from app.training.network.mobilenetv2 import ConvBN, MobileNetV2


def folded(network: nn.Layer) -> nn.Layer:
    """Return a copy for inference that gives the same logits without batch normalisation.

    Each batch normalisation becomes part of its convolution. The copy also leaves out the first
    block's expansion if that changes nothing, which saves 4 % of the time. This is so with Keras's
    weights, because Keras's network has no such expansion. A network other than MobileNetV2 is
    returned unchanged.
    """
    if not isinstance(network, MobileNetV2):
        return network
    lean = copy.deepcopy(network)
    lean.eval()
    for unit in lean.sublayers():
        if isinstance(unit, ConvBN):
            _fold(unit)
    block = lean.conv2._first_block
    # The ReLU6 behind the expansion can go too, because the input has already gone through a ReLU6.
    if _is_identity(block._expand_conv._conv):
        narrow = nn.Sequential(block._bottleneck_conv, nn.ReLU6(), block._linear_conv)
        lean.conv2.add_sublayer("_first_block", narrow)
    return lean


def _fold(unit: ConvBN) -> None:
    """Move the batch normalisation's factor into the kernels, and its offset into a new bias."""
    conv, norm, state = unit._conv, unit._batch_norm, unit._batch_norm.state_dict()
    factor = state["weight"] / paddle.sqrt(state["_variance"] + norm._epsilon)  # (out_channels,)
    kernels = conv.weight * factor.reshape([-1, 1, 1, 1])  # (out_channels, in_channels, H, W)
    conv.weight.set_value(kernels)
    conv.bias = paddle.create_parameter(factor.shape, "float32", is_bias=True)
    conv.bias.set_value(state["bias"] - state["_mean"] * factor)
    unit.add_sublayer("_batch_norm", nn.Identity())


def _is_identity(conv: nn.Conv2D) -> bool:
    kernels = conv.weight.numpy()[:, :, 0, 0]  # (out_channels, in_channels)
    return np.allclose(kernels, np.eye(*kernels.shape), atol=1e-6) and np.allclose(
        conv.bias.numpy(), 0, atol=1e-6
    )


def divide_logits(classifier: nn.Linear, temperature: float) -> None:
    """Change the last layer so that it returns logits / temperature.

    A bundle's scores are calibrated then, and its readers need no temperature.
    """
    with paddle.no_grad():
        for parameter in (classifier.weight, classifier.bias):
            parameter.set_value(parameter / temperature)
