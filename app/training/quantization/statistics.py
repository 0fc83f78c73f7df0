"""What the layers of a network get as input on real photos."""

from collections.abc import Sequence

import numpy as np

from app.model.openvino_core import openvino as ov
from app.training.quantization.grid import Grid
from app.training.quantization.layers import Doubles, Floats, Layer

_ops = ov.opset13


class Inputs:
    """The network in float32, with the inputs of these layers as its outputs."""

    def __init__(self, model: ov.Model, layers: Sequence[Layer]) -> None:
        wanted = {layer.name: place for place, layer in enumerate(layers)}
        found = {
            wanted[operation.get_friendly_name()]: operation.input_value(0)
            for operation in model.get_ops()
            if operation.get_friendly_name() in wanted
        }
        results = [_ops.result(found[place]) for place in range(len(layers))]
        seen = ov.Model(results, model.get_parameters(), "inputs")
        options = {"INFERENCE_PRECISION_HINT": "f32"}
        self._request = ov.Core().compile_model(seen, "CPU", options).create_infer_request()

    def __call__(self, planes: Floats) -> list[Floats]:
        """Return the layers' inputs for one photo (1, 3, H, W)."""
        self._request.infer([planes])
        return [tensor.data for tensor in self._request.output_tensors]


class Range:
    """The lowest and the highest value of each channel of a layer's input, (channels,)."""

    def __init__(self, layer: Layer) -> None:
        self._layer = layer
        groups, _, inputs = layer.weights.shape
        self.low = np.full(groups * inputs // layer.taps, np.inf, np.float32)
        self.high = -self.low

    def add(self, given: Floats) -> None:
        """Take the input for one photo into account."""
        channels = np.moveaxis(given, self._layer.axis, 0).reshape(
            given.shape[self._layer.axis], -1
        )
        self.low = np.minimum(self.low, channels.min(axis=1))
        self.high = np.maximum(self.high, channels.max(axis=1))


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


def moments(model: ov.Model, layers: Sequence[Layer], photos: Sequence[Floats]) -> list[Moments]:
    """Return what the layers' filters see on the photos, each (1, 3, H, W)."""
    inputs = Inputs(model, layers)
    ranges = [Range(layer) for layer in layers]
    for photo in photos:
        for span, given in zip(ranges, inputs(photo), strict=True):
            span.add(given)
    found = [
        Moments(layer, Grid.fit(layer, span.low, span.high))
        for layer, span in zip(layers, ranges, strict=True)
    ]
    rng = np.random.default_rng(0)
    for photo in photos:
        for one, given in zip(found, inputs(photo), strict=True):
            one.add(given, rng)
    return found
