"""The cost of a network: output shapes, trainable parameters and multiply-adds of each layer.

This command prints it: python -m app summary --scale 1.0
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import paddle
from paddle import Tensor, nn
from rich import box
from rich.console import Console
from rich.table import Table

from app.training.network.mobilenetv2 import STAGES, MobileNetV2


@dataclass(frozen=True)
class Cost:
    """The cost of one layer, including the layers inside it.

    Attributes:
        name: the layer's name; "" for the whole network.
        output: the shape of the output for one image, without N.
        parameters: the number of trainable parameters, which excludes the statistics of batch
            normalisation.
        multiply_adds: the number for one image, in convolutions and linear layers only, because
            the other layers need few.
    """

    name: str
    output: tuple[int, ...]
    parameters: int
    multiply_adds: int


def multiply_adds(
    output: tuple[int, int],
    in_channels: int,
    out_channels: int,
    kernel: int = 3,
    *,
    separable: bool = False,
) -> int:
    """Return the multiply-adds of a convolution.

    A standard convolution reads all input channels for each output channel. A depthwise separable
    convolution filters each channel by itself and then mixes the channels with a 1x1 convolution.

    Args:
        output: the output's height and width in pixels.
        in_channels: the number of input channels.
        out_channels: the number of output channels.
        kernel: the kernel's side in pixels.
        separable: whether the convolution is depthwise separable.
    """
    spatial = prod(output) * kernel**2 * in_channels
    if separable:
        return spatial + multiply_adds(output, in_channels, out_channels, kernel=1)
    return spatial * out_channels


def costs(network: nn.Layer, size: int) -> list[Cost]:
    """Return the cost of each layer for one image; an outer layer comes before its inner ones.

    The function runs an image of zeros, (1, 3, size, size), and leaves the network unchanged.
    """
    outputs: dict[int, tuple[int, ...]] = {}

    def record(layer: nn.Layer, _: Tensor, output: Tensor) -> Tensor:
        outputs[id(layer)] = tuple(output.shape[1:])
        return output

    layers = dict(network.named_sublayers(include_self=True))
    hooks = [layer.register_forward_post_hook(record) for layer in layers.values()]
    training = [layer for layer in layers.values() if layer.training]
    # In eval mode the image does not change the statistics of batch normalisation.
    network.eval()
    try:
        with paddle.no_grad():
            network(paddle.zeros([1, 3, size, size]))
    finally:
        for hook in hooks:
            hook.remove()
        for layer in training:
            layer.training = True
    return [
        Cost(name, outputs[id(layer)], _trainable(layer), _inner_multiply_adds(layer, outputs))
        for name, layer in layers.items()
    ]


def _trainable(layer: nn.Layer) -> int:
    return sum(prod(p.shape) for p in layer.parameters() if p.trainable)


def _inner_multiply_adds(layer: nn.Layer, outputs: dict[int, tuple[int, ...]]) -> int:
    total = 0
    for inner in layer.sublayers(include_self=True):
        if isinstance(inner, nn.Conv2D):  # weight (C_out, C_in/groups, k, k), output (C_out, H, W)
            total += prod(outputs[id(inner)]) * prod(inner.weight.shape[1:])
        elif isinstance(inner, nn.Linear):  # weight (in, out), output (out,)
            total += prod(outputs[id(inner)]) * inner.weight.shape[0]
    return total


def print_summary(scale: float, class_num: int, size: int, console: Console) -> None:
    """Print a MobileNetV2 as a table with one row per block, for images of size x size."""
    by_name = {cost.name: cost for cost in costs(MobileNetV2(class_num, scale), size)}
    total = by_name[""]
    title = f"MobileNetV2, scale {scale:g}, input 3x{size}x{size}"
    # This table is 79 columns wide, so that it fits a terminal of 80 columns.
    table = Table(title=title, box=box.SIMPLE, show_footer=True, pad_edge=False)
    table.add_column("Layer", "Total")
    table.add_column("Operator")
    for heading in ("t", "c", "s", "Output"):
        table.add_column(heading, justify="right")
    table.add_column("Parameters", f"{total.parameters:,}", justify="right")
    table.add_column("Multiply-adds", f"{total.multiply_adds:,}", justify="right")
    for label, operator, t, stride, name in _rows():
        cost = by_name[name]
        table.add_row(
            label,
            operator,
            t,
            str(cost.output[0]),
            stride,
            "x".join(map(str, cost.output)),
            f"{cost.parameters:,}",
            f"{cost.multiply_adds:,}",
        )
    console.print(table)


def _rows() -> Iterator[tuple[str, str, str, str, str]]:
    """Yield label, operator, t, stride and the layer's name in the network."""
    yield "conv1", "conv 3x3", "", "2", "conv1"
    for stage, (t, _, n, s) in enumerate(STAGES, start=2):
        for block in range(1, n + 1):
            label = f"conv{stage}_{block}"
            name = f"conv{stage}." + ("_first_block" if block == 1 else label)
            yield label, "bottleneck", str(t), str(s if block == 1 else 1), name
    yield "conv9", "conv 1x1", "", "1", "conv9"
    yield "pool", "avg pool", "", "", "pool"
    yield "out", "linear", "", "", "out"
