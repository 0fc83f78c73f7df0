"""A network whose convolutions and matrix products OpenVINO computes with integers of 8 bits."""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from app.errors import StartupError
from app.model.openvino_core import openvino as ov
from app.training.quantization.grid import LEVELS, Grid
from app.training.quantization.layers import Floats, Layer
from app.training.quantization.rounding import rounded
from app.training.quantization.statistics import Moments, moments, ranges

_ops = ov.opset13


def quantized(model: ov.Model, photos: list[Floats], exact: Collection[int] = ()) -> ov.Model:
    """Return a copy of the network that OpenVINO runs with integers.

    A layer's input is put on a grid, its weights are rounded, and a constant for each channel is
    added to its output, so that the mean over the photos stays what it was. What lies between the
    layers, such as the additions of residual blocks, stays in float32.

    Args:
        model: the network in float32.
        photos: planes as the network gets them, each (1, 3, H, W).
        exact: layers that stay in float32, counted from 1 at the input.

    Raises:
        StartupError: there is no layer of such a number.
    """
    found = [layer for op in model.get_ordered_ops() if (layer := read_layer(op))]
    if max(exact, default=0) > len(found):
        raise StartupError(f"there is no layer {max(exact)}: the network has {len(found)} layers")
    layers = [layer for number, layer in enumerate(found, 1) if number not in exact]
    inputs = Inputs(model, layers)
    spans = ranges([layer.axis for layer in layers], inputs, photos)
    grids = [Grid.fit(layer, *span) for layer, span in zip(layers, spans, strict=True)]
    seen = moments(layers, grids, inputs, photos)
    copy = model.clone()
    operations = {op.get_friendly_name(): op for op in copy.get_ops()}
    for layer, one in zip(layers, seen, strict=True):
        _quantize(operations[layer.name], layer, one)
    copy.validate_nodes_and_infer_types()
    return copy


def read_layer(operation: Any) -> Layer | None:  # noqa: ANN401  (a class without types)
    """Return the layer that an operation of the graph is, or None if it must stay in float32."""
    kind, attributes = operation.get_type_name(), operation.get_attributes()
    if kind not in {"Convolution", "GroupConvolution", "MatMul"}:
        return None
    constant = operation.input_value(1).get_node()
    if constant.get_type_name() != "Constant":
        return None
    weights = np.array(constant.data, np.float64)
    name = operation.get_friendly_name()
    if kind == "MatMul":
        if weights.ndim != 2 or attributes["transpose_a"]:
            return None
        flipped = not attributes["transpose_b"]
        rows = weights.T if flipped else weights
        return Layer(name, rows[np.newaxis], weights.shape, flipped=flipped)
    grouped = weights[np.newaxis] if kind == "Convolution" else weights
    if grouped.ndim != 5 or attributes["auto_pad"] not in {"explicit", "notset"}:
        return None
    top, left = attributes["pads_begin"]
    bottom, right = attributes["pads_end"]
    return Layer(
        name,
        grouped.reshape(*grouped.shape[:2], -1),
        weights.shape,
        (weights.shape[-2], weights.shape[-1]),
        strides=tuple(attributes["strides"]),
        dilations=tuple(attributes["dilations"]),
        pads=((top, bottom), (left, right)),
    )


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


def _quantize(operation: Any, layer: Layer, seen: Moments) -> None:  # noqa: ANN401
    grid = seen.grid
    integers, unit = rounded(layer.weights * layer.spread(grid.step), seen.covariance, layer.taps)
    # What the mean output of each filter has gained by rounding, (groups, filters, 1).
    gained = unit * (integers @ seen.integers) - layer.weights @ seen.exact
    readers = operation.output(0).get_target_inputs()
    rank = len(operation.get_output_partial_shape(0))
    correction = _ops.constant(_along(layer.axis, rank, -gained.reshape(-1)))
    corrected = _ops.add(operation.output(0), correction)
    for reader in readers:
        reader.replace_source_output(corrected.output(0))
    # OpenVINO wants one step for all channels of an input, so the weights hold their differences.
    common = grid.step.max()
    on_grid = _on_grid(operation.input_value(0), layer.axis, grid, common)
    operation.input(0).replace_source_output(on_grid.output(0))
    constant = _ops.constant(layer.in_graph(integers).astype(np.int8))
    units = _ops.constant(layer.in_graph(unit / common).astype(np.float32))
    weights = _ops.multiply(_ops.convert(constant, np.float32), units)
    operation.input(1).replace_source_output(weights.output(0))


def _on_grid(value: Any, axis: int, grid: Grid, common: float) -> Any:  # noqa: ANN401
    """Return the operation that puts a value on the grid, and gives each channel the same step."""
    rank, ends = len(value.get_partial_shape()), (grid.first, grid.first + LEVELS - 1)
    given = [_along(axis, rank, grid.offset + grid.step * end) for end in ends]
    made = [np.full([1] * rank, common * end, np.float32) for end in ends]
    return _ops.fake_quantize(value, *map(_ops.constant, given + made), LEVELS)


def _along(axis: int, rank: int, values: npt.NDArray[Any]) -> Floats:
    """Return values of the channels such that they can be added to a value of this rank."""
    shape = [1] * rank
    shape[axis] = -1
    return values.reshape(shape).astype(np.float32)
