"""What the layers of a network get as input on real photos."""

from collections.abc import Callable, Sequence

import numpy as np

from app.training.quantization.grid import Grid
from app.training.quantization.layers import Doubles, Floats, Layer

# Returns values of the network for one photo, (1, 3, H, W).
Values = Callable[[Floats], Sequence[Floats]]
Range = tuple[Floats, Floats]


class Moments:
    """Means and covariance of what a layer's filters see, exactly and on the grid.

    Attributes:
        grid: the grid of the layer's input.
    """

    def __init__(self, layer: Layer, grid: Grid) -> None:
        groups, _, inputs = layer.weights.shape
        self.grid = grid
        self._layer = layer
        self._count = 0
        self._exact = np.zeros((groups, inputs))
        self._integers = np.zeros((groups, inputs))
        self._products = np.zeros((groups, inputs, inputs), np.float32)

    def add(self, given: Floats, rng: np.random.Generator) -> None:
        """Take the input for one photo into account, at random places."""
        windows = self._layer.windows(given, rng)
        integers = self.grid.integers(self._layer, windows)
        self._count += windows.shape[1]
        self._exact += windows.sum(axis=1)
        self._integers += integers.sum(axis=1)
        self._products += integers.swapaxes(1, 2) @ integers

    @property
    def exact(self) -> Doubles:
        """The mean of the exact inputs, (groups, inputs, 1)."""
        return self._exact[:, :, np.newaxis] / self._count

    @property
    def integers(self) -> Doubles:
        """The mean of the inputs as integers, (groups, inputs, 1)."""
        return self._integers[:, :, np.newaxis] / self._count

    @property
    def covariance(self) -> Doubles:
        """The covariance of the integers, (groups, inputs, inputs)."""
        mean = self.integers
        return self._products / self._count - mean * mean.swapaxes(1, 2)


def ranges(axes: Sequence[int], values: Values, photos: Sequence[Floats]) -> list[Range]:
    """Return the lowest and the highest number in each channel of each value.

    Args:
        axes: the axis of the channels in each value.
        values: returns the values.
        photos: as the network gets them, each (1, 3, H, W).

    Returns:
        For each value two arrays (channels,).
    """
    found: list[Range] = []
    for photo in photos:
        channels = [
            np.moveaxis(value, axis, 0).reshape(value.shape[axis], -1)
            for axis, value in zip(axes, values(photo), strict=True)
        ]
        spans = [(rows.min(axis=1), rows.max(axis=1)) for rows in channels]
        found = [
            (np.minimum(low, lower), np.maximum(high, higher))
            for (low, high), (lower, higher) in zip(found or spans, spans, strict=True)
        ]
    return found


def moments(
    layers: Sequence[Layer], grids: Sequence[Grid], inputs: Values, photos: Sequence[Floats]
) -> list[Moments]:
    """Return what the layers' filters see on the photos; `inputs` returns the layers' inputs."""
    found = [Moments(layer, grid) for layer, grid in zip(layers, grids, strict=True)]
    rng = np.random.default_rng(0)
    for photo in photos:
        for one, given in zip(found, inputs(photo), strict=True):
            one.add(given, rng)
    return found
