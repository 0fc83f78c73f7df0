"""The network's last segments as matrix products, which train faster on a CPU.

Paddle's dynamic graph runs without oneDNN on a CPU. A training step of the last five segments took
22 ms of CPU time a photo with Paddle's convolutions and 9 ms with the products below. The results
are the same up to rounding.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import paddle
from paddle import Tensor, nn
from paddle.nn import functional as F  # noqa: N812  (this short name is common)

# ruff: noqa: SLF001  (the layers have PaddleClas's names, which begin with an underscore)
from app.training.network.mobilenetv2 import ConvBN, InvertedResidual


class QuickTail:
    """Computes the logits of the last blocks, conv9 and the classifier, with fixed statistics.

    It uses the parameters of these layers, so they can learn through it. Batch normalisation
    becomes a factor of the kernels and a bias. A map is kept as (C, N * H * W): a 1x1 convolution
    is then one product, and a depthwise convolution is a product for each channel.

    Args:
        blocks: the blocks; the maps in them should have at most 18 x 18 pixels.
        last: conv9.
        classifier: the last layer.
    """

    def __init__(
        self, blocks: Sequence[InvertedResidual], last: ConvBN, classifier: nn.Linear
    ) -> None:
        self._blocks, self._last, self._classifier = blocks, last, classifier

    def __call__(self, x: Tensor) -> Tensor:
        """Return logits (N, classes) of square maps (N, C, H, H)."""
        photos, channels, side, _ = x.shape
        y = x.transpose([1, 0, 2, 3]).reshape([channels, -1])  # (C, N * H * H)
        for block in self._blocks:
            z = F.relu6(_pointwise(block._expand_conv, y))  # (t * C, N * H * H)
            z, side = _depthwise(block._bottleneck_conv, z, photos, side)
            z = _pointwise(block._linear_conv, F.relu6(z))  # (C', N * H' * H')
            y = y + z if block._shortcut else z
        z = F.relu6(_pointwise(self._last, y))  # (1280, N * H' * H')
        features = z.reshape([-1, photos, side * side]).mean(axis=2).t()  # (N, 1280)
        logits: Tensor = self._classifier(features)  # (N, classes)
        return logits


def _folded(unit: ConvBN) -> tuple[Tensor, Tensor]:
    """Return the kernels (out, in * h * w) and the bias (out, 1) with batch normalisation."""
    norm: Any = unit._batch_norm
    factor = norm.weight / paddle.sqrt(norm._variance + norm._epsilon)  # (out,)
    kernels = unit._conv.weight.flatten(1) * factor.unsqueeze(1)  # (out, in * h * w)
    return kernels, (norm.bias - norm._mean * factor).unsqueeze(1)


def _pointwise(unit: ConvBN, x: Tensor) -> Tensor:
    """Return (out, P) for (in, P)."""
    kernels, bias = _folded(unit)
    return kernels @ x + bias


def _depthwise(unit: ConvBN, x: Tensor, photos: int, side: int) -> tuple[Tensor, int]:
    """Return (C, N * h * h) for (C, N * side * side), and h."""
    kernels, bias = _folded(unit)  # (C, 9), (C, 1)
    channels, conv = kernels.shape[0], unit._conv
    padding = conv._padding if isinstance(conv._padding, list) else [conv._padding] * 4
    taps = _taps(side, conv._stride[0], padding[0], padding[1])  # (9, side ** 2, h ** 2)
    matrices = (kernels @ taps.flatten(1)).reshape([channels, *taps.shape[1:]])
    maps = paddle.bmm(x.reshape([channels, photos, -1]), matrices)  # (C, N, h ** 2)
    return maps.reshape([channels, -1]) + bias, round(taps.shape[2] ** 0.5)


@cache
def _taps(side: int, stride: int, before: int, after: int) -> Tensor:
    """Return which input pixel each of the nine weights of a kernel meets at each output pixel.

    Args:
        side: the height and the width of the input.
        stride: the stride of the convolution.
        before: the padding at the top and on the left.
        after: the padding at the bottom and on the right.

    Returns:
        (9, side ** 2, h ** 2) zeros and ones, where h is the height and the width of the output.
    """
    height = (side + before + after - 3) // stride + 1
    met = np.zeros((9, side + before + after, side + before + after, height, height), np.float32)
    for weight, i, j in np.ndindex(9, height, height):
        met[weight, i * stride + weight // 3, j * stride + weight % 3, i, j] = 1
    inner = slice(before, before + side)
    return paddle.to_tensor(met[:, inner, inner].reshape(9, side**2, height**2))
