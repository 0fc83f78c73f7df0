"""What a network costs: output shapes, trainable parameters and multiply-adds, layer by layer.

python -m app summary --scale 1.0
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
    """One layer with everything inside it; the whole network has the name "".

    Attributes:
        output: shape of the output for one image, without N.
        parameters: trainable ones, so without the statistics of batch normalisation.
        multiply_adds: of convolutions and linear layers for one image; the rest is small.
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
    """Return the multiply-adds of a convolution with an output map of (height, width).

    A standard one looks at all input channels for each output channel; a depthwise separable one
    filters each channel by itself and then mixes the channels with 1x1.
    """
    spatial = prod(output) * kernel**2 * in_channels
    if separable:
        return spatial + multiply_adds(output, in_channels, out_channels, kernel=1)
    return spatial * out_channels


def costs(network: nn.Layer, size: int) -> list[Cost]:
    """Run one black image (1, 3, size, size) through and return each layer's cost, outer first."""
    outputs: dict[int, tuple[int, ...]] = {}

    def note(layer: nn.Layer, _: Tensor, output: Tensor) -> Tensor:
        outputs[id(layer)] = tuple(output.shape[1:])
        return output

    layers = dict(network.named_sublayers(include_self=True))
    hooks = [layer.register_forward_post_hook(note) for layer in layers.values()]
    training = [layer for layer in layers.values() if layer.training]
    network.eval()  # statistics stay as they are
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
    for part in layer.sublayers(include_self=True):
        if isinstance(part, nn.Conv2D):  # weight (C_out, C_in/groups, k, k), output (C_out, H, W)
            total += prod(outputs[id(part)]) * prod(part.weight.shape[1:])
        elif isinstance(part, nn.Linear):  # weight (in, out), output (out,)
            total += prod(outputs[id(part)]) * part.weight.shape[0]
    return total


def print_summary(scale: float, class_num: int, size: int, console: Console) -> None:
    """Print the network as a table, one row a block, for images of size x size."""
    by_name = {cost.name: cost for cost in costs(MobileNetV2(class_num, scale), size)}
    total = by_name[""]
    title = f"MobileNetV2, scale {scale:g}, input 3x{size}x{size}"
    # 79 columns wide, so that it fits a plain terminal.
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
