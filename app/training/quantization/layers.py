"""A layer of a network that can compute with integers, and what its filters see."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Pair = tuple[int, int]

# Of a larger map, each photo gives this many places.
_PLACES = 64


@dataclass(frozen=True)
class Layer:
    """A convolution, or a matrix product with constant weights.

    A depthwise convolution has a group for each channel; most other layers have one group.

    Attributes:
        name: the operation's name in the graph.
        weights: (groups, filters, inputs); a filter's inputs are in the order (channel, tap).
        shape: the shape of the weights in the graph.
        kernel: the height and width of a convolution's filter; None for a matrix product.
        flipped: whether a matrix product's weights are (inputs, filters) in the graph.
        strides, dilations, pads: of a convolution; the pads before and behind, for each axis.
    """

    name: str
    weights: Doubles
    shape: tuple[int, ...]
    kernel: Pair | None = None
    flipped: bool = False
    strides: Pair = (1, 1)
    dilations: Pair = (1, 1)
    pads: tuple[Pair, Pair] = ((0, 0), (0, 0))

    @property
    def axis(self) -> int:
        """The axis of the channels in the layer's input and output."""
        return 1 if self.kernel else -1

    @property
    def taps(self) -> int:
        """The number of pixels under a filter."""
        return math.prod(self.kernel or (1,))

    @property
    def padded(self) -> bool:
        """Whether the filters see zeros beyond the border of the map."""
        return any(map(any, self.pads))

    def spread(self, values: Floats) -> Floats:
        """Return values of the channels as values of the filters' inputs, (groups, 1, inputs)."""
        return values.reshape(len(self.weights), 1, -1).repeat(self.taps, axis=2)

    def in_graph(self, weights: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return weights (groups, filters, inputs), or (groups, filters, 1), as the graph has them.

        The values of (groups, filters, 1) are broadcast against the graph's weights.
        """
        filters = weights.reshape(-1, weights.shape[2])
        if self.flipped:
            return filters.T
        inner = self.shape[-3:] if self.kernel else self.shape[1:]
        outer = self.shape[: len(self.shape) - len(inner)]
        return filters.reshape(*outer, *(inner if weights.shape[2] > 1 else (1,) * len(inner)))

    def windows(self, given: Floats, rng: np.random.Generator) -> Floats:
        """Return what the filters see of one photo at random places, (groups, places, inputs)."""
        if self.kernel is None:
            return rng.permutation(given.reshape(-1, given.shape[-1]))[np.newaxis, :_PLACES]
        planes = np.pad(given[0], [(0, 0), *self.pads])  # (C, H, W)
        height, width = (
            (size - dilation * (side - 1) - 1) // stride + 1
            for size, dilation, side, stride in zip(
                planes.shape[1:], self.dilations, self.kernel, self.strides, strict=True
            )
        )
        places = rng.permutation(height * width)[:_PLACES]
        y, x = places // width * self.strides[0], places % width * self.strides[1]
        seen = [
            planes[:, y + i * self.dilations[0], x + j * self.dilations[1]]
            for i, j in np.ndindex(*self.kernel)
        ]
        groups = np.stack(seen, axis=-1).reshape(len(self.weights), -1, len(places), self.taps)
        return groups.swapaxes(1, 2).reshape(len(groups), len(places), -1)
