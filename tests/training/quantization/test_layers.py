"""What the filters of a layer see is what OpenVINO multiplies with their weights."""

import numpy as np
import pytest

from app.model.openvino_core import openvino as ov
from app.training.quantization.grid import Grid
from app.training.quantization.layers import Floats, Layer
from app.training.quantization.openvino_network import read_layer

_ops = ov.opset13
RNG = np.random.default_rng(0)


def constant(*shape: int) -> ov.Node:
    return _ops.constant(RNG.normal(size=shape).astype(np.float32))


def graphs() -> dict[str, ov.Node]:
    """Return a layer of each kind, behind an input of 8 channels."""
    planes, rows = _ops.parameter([1, 8, 9, 11]), _ops.parameter([3, 5, 8])
    dense, grouped, single = constant(6, 8, 3, 3), constant(2, 6, 4, 3, 3), constant(8, 1, 1, 3, 3)
    by_rows, by_columns = constant(4, 8), constant(8, 4)
    return {
        "dense": _ops.convolution(planes, dense, [2, 1], [1, 0], [0, 2], [1, 2]),
        "grouped": _ops.group_convolution(planes, grouped, [1, 1], [1, 1], [1, 1], [1, 1]),
        "depthwise": _ops.group_convolution(planes, single, [2, 2], [0, 0], [1, 1], [1, 1]),
        "rows": _ops.matmul(rows, by_rows, transpose_a=False, transpose_b=True),
        "columns": _ops.matmul(rows, by_columns, transpose_a=False, transpose_b=False),
    }


def layer_of(operation: ov.Node) -> Layer:
    layer = read_layer(operation)
    assert layer
    return layer


def outputs(operation: ov.Node, given: Floats) -> Floats:
    parameter = operation.input_value(0).get_node()
    model = ov.Core().compile_model(
        ov.Model([operation], [parameter], "layer"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    return np.asarray(model([given])[0])


@pytest.mark.parametrize("kind", ["dense", "grouped", "depthwise", "rows", "columns"])
def test_windows_times_weights_is_the_output(kind: str) -> None:
    operation = graphs()[kind]
    layer = layer_of(operation)
    given = RNG.normal(size=operation.input_value(0).get_shape()).astype(np.float32)
    made = layer.windows(given, RNG) @ layer.weights.swapaxes(1, 2)  # (groups, places, filters)
    expected = np.moveaxis(outputs(operation, given), layer.axis, 0)
    expected = expected.reshape(made.shape[0], made.shape[2], -1).swapaxes(1, 2)
    # The places are in another order; each filter gives the same values, if all places were seen.
    places = min(64, expected.shape[1])
    assert made.shape[1] == places
    for group, wanted in zip(made, expected, strict=True):
        distances = np.abs(group[:, np.newaxis] - wanted[np.newaxis]).max(axis=2)
        nearest = distances.argmin(axis=1)
        assert len(set(nearest.tolist())) == places
        assert distances.min(axis=1).max() < 1e-5


@pytest.mark.parametrize("kind", ["dense", "grouped", "depthwise", "rows", "columns"])
def test_weights_go_back_into_the_graph_as_they_were(kind: str) -> None:
    operation = graphs()[kind]
    layer = layer_of(operation)
    constant = operation.input_value(1).get_node().data
    np.testing.assert_array_equal(layer.in_graph(layer.weights).astype(np.float32), constant)
    each = np.arange(layer.weights.shape[0] * layer.weights.shape[1], dtype=np.float64)
    unit = layer.in_graph(each.reshape(*layer.weights.shape[:2], 1))
    scaled = layer.in_graph(layer.weights * each.reshape(*layer.weights.shape[:2], 1))
    np.testing.assert_allclose(constant * unit, scaled, rtol=1e-5)


def test_what_is_no_layer_stays_in_float32() -> None:
    parameter = _ops.parameter([1, 8, 9, 11])
    assert read_layer(_ops.relu(parameter)) is None
    assert read_layer(_ops.matmul(parameter, parameter, False, True)) is None
    same = _ops.convolution(
        parameter, constant(6, 8, 3, 3), [1, 1], [0, 0], [0, 0], [1, 1], auto_pad="same_upper"
    )
    assert read_layer(same) is None


@pytest.mark.parametrize(
    ("kind", "low", "high", "first"),
    [
        ("depthwise", 0, 6, 0),
        ("depthwise", -1, 1, -128),
        ("rows", -40, 30, 0),
    ],
)
def test_a_grid_holds_what_was_seen(kind: str, low: float, high: float, first: int) -> None:
    layer = layer_of(graphs()[kind])
    shares = np.linspace(0.1, 1, 8, dtype=np.float32)
    grid = Grid.fit(layer, low * shares, high * shares)
    assert grid.first == first
    lowest = grid.offset + grid.step * grid.first
    highest = grid.offset + grid.step * (grid.first + 255)
    tolerance = 1.01 * grid.step
    assert (lowest <= low * shares + tolerance).all()
    assert (highest >= high * shares - tolerance).all()
    if layer.padded:
        assert not grid.offset.any()


def test_a_grid_for_an_input_that_is_always_zero() -> None:
    zeros = np.zeros(8, np.float32)
    for kind in ("dense", "rows"):
        grid = Grid.fit(layer_of(graphs()[kind]), zeros, zeros)
        assert (grid.step > 0).all()
