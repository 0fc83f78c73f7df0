"""Saves a network as the graph that Paddle's inference engine reads."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from paddle import Tensor, jit, nn
from paddle.static import InputSpec


class _Traced(nn.Layer):
    """A layer whose Python code Paddle runs as it is when it records the operations."""

    def __init__(self, layer: nn.Layer) -> None:
        super().__init__()
        self._layer = layer

    @jit.not_to_static
    def forward(self, x: Tensor) -> Tensor:
        """Return what the layer returns."""
        output: Tensor = self._layer(x)
        return output


def save_graph(layer: nn.Layer, path: Path, inputs: InputSpec, *, translate: bool = False) -> None:
    """Write the graph and the parameters of `layer` as it is in inference.

    Args:
        layer: maps one tensor to one tensor.
        path: where the files go, without their suffixes.
        inputs: the shape and the type of the layer's input.
        translate: whether Paddle must first translate the Python code of all inner layers, because
            it reads the shapes or the values of tensors. MobileNetV2 does not need the translation,
            which takes most of the time.
    """
    graph = layer if translate else _Traced(layer)
    graph.eval()
    with nullcontext() if translate else _no_call_stacks():
        jit.save(graph, str(path), input_spec=[inputs])


@contextmanager
def _no_call_stacks() -> Iterator[None]:
    """Let Paddle extract no call stack for each operation: this takes most of the time of a save.

    Paddle would show these stacks in an error of an operation, and it does not write them. An error
    of the translation shows where the user's code is wrong, so they stay with it.
    """
    before = getattr(sys, "tracebacklimit", None)
    sys.tracebacklimit = 0
    try:
        yield
    finally:
        sys.tracebacklimit = before
