"""A network in ONNX whose convolutions ONNX Runtime computes with integers of 8 bits.

ONNX Runtime does so only where the output of a convolution goes on a grid at once, as its input
does.
"""

import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import GraphProto, NodeProto, helper, numpy_helper

from app.errors import StartupError
from app.model.onnx_graph import with_outputs
from app.training.quantization.grid import Grid
from app.training.quantization.layers import Floats, Layer
from app.training.quantization.rounding import rounded
from app.training.quantization.statistics import Moments, moments, ranges

_LARGEST_BIAS = 2**30
# A smaller unit of a filter would be zero in float32.
_LEAST_UNIT = 1e-30
# With this version of its operations, ONNX can dequantize the weights of each filter on their own.
_LEAST_OPSET = 13

Constants = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Convolution:
    """A convolution that is computed with integers.

    Attributes:
        node: its node in the graph.
        layer: its weights and what its filters see.
        bias: (filters,).
        given: the name of its input.
        made: the name of its output; the one behind a ReLU or ReLU6, because values that go on a
            grid from 0 on are cut off in the same way.
    """

    node: NodeProto
    layer: Layer
    bias: Floats
    given: str
    made: str


def quantized(file: Path, photos: Sequence[Floats], exact: Collection[int] = ()) -> onnx.ModelProto:
    """Return the network in `file` with convolutions that compute with integers.

    The input and the output of a convolution go on grids of 256 values, its weights are rounded,
    and its bias is changed so that the mean over the photos stays what it was. What lies between
    the convolutions, such as the additions of residual blocks, and the classifier stay in float32.

    Args:
        file: the network in float32.
        photos: planes as the network gets them, each (1, 3, H, W).
        exact: convolutions that stay in float32, counted from 1 at the input.

    Raises:
        StartupError: there is no convolution of such a number, or none is left, ONNX Runtime cannot
            load the file, or the file has too old a version of ONNX.
    """
    with tempfile.TemporaryDirectory() as folder:
        simple = Path(folder) / file.name
        _simplify(file, simple)
        model = onnx.load(simple)
        version = next(one.version for one in model.opset_import if not one.domain)
        if version < _LEAST_OPSET:
            raise StartupError(
                f"{file} has version {version} of ONNX's operations, but 8 bits need "
                f"{_LEAST_OPSET}: delete the file, and it is made anew"
            )
        chosen = _convolutions(model.graph, exact)
        names = [*dict.fromkeys(name for one in chosen for name in (one.given, one.made))]
        session = onnxruntime.InferenceSession(with_outputs(simple, names), _options())
    asked = session.get_inputs()[0].name
    spans = ranges([1] * len(names), lambda photo: session.run(names, {asked: photo}), photos)
    grids = {name: Grid.common(*span) for name, span in zip(names, spans, strict=True)}
    inputs = [one.given for one in chosen]
    seen = moments(
        [one.layer for one in chosen],
        [grids[name] for name in inputs],
        lambda photo: session.run(inputs, {asked: photo}),
        photos,
    )
    _rewrite(
        model.graph, {one.made: (one, mean) for one, mean in zip(chosen, seen, strict=True)}, grids
    )
    onnx.checker.check_model(model)
    return model


def _simplify(file: Path, simple: Path) -> None:
    """Write the network with constants computed and biases as part of their convolutions."""
    options = _options()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(simple)
    try:
        onnxruntime.InferenceSession(file, options)
    except Exception as error:
        raise StartupError(f"ONNX Runtime cannot load {file}: {error}") from error


def _options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    # Level 4 logs only fatal errors, and ONNX Runtime raises those as exceptions, too.
    options.log_severity_level = 4
    return options


def _convolutions(graph: GraphProto, exact: Collection[int]) -> list[Convolution]:
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    nodes = [node for node in graph.node if node.op_type == "Conv"]
    if max(exact, default=0) > len(nodes):
        raise StartupError(
            f"there is no layer {max(exact)}: the network has {len(nodes)} convolutions"
        )
    chosen = [node for number, node in enumerate(nodes, 1) if number not in exact]
    found = [one for node in chosen if (one := _read(node, graph, constants))]
    if not found:
        raise StartupError("the network has no convolution for 8 bits")
    return found


def _read(node: NodeProto, graph: GraphProto, constants: Constants) -> Convolution | None:
    """Return the convolution that a node is, or None if it must stay in float32."""
    weights_name, *bias_name = node.input[1:]
    if not constants.keys() >= {weights_name, *filter(None, bias_name)}:
        return None
    attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    weights = constants[weights_name].astype(np.float64)
    if weights.ndim != 4 or attributes.get("auto_pad", b"NOTSET") != b"NOTSET":
        return None
    groups, channels, taps = attributes.get("group", 1), weights.shape[1], weights[0, 0].size
    depthwise = channels == 1 and groups == len(weights)
    if channels % 2 and taps > 1 and not depthwise:
        # ONNX Runtime adds up the products of two channels, and here once of two pixels, too. The
        # weights of such a pair are not bounded.
        return None
    top, left, bottom, right = attributes.get("pads", (0, 0, 0, 0))
    layer = Layer(
        node.name,
        weights.reshape(groups, len(weights) // groups, -1),
        weights.shape,
        (weights.shape[2], weights.shape[3]),
        strides=tuple(attributes.get("strides", (1, 1))),
        dilations=tuple(attributes.get("dilations", (1, 1))),
        pads=((top, bottom), (left, right)),
    )
    bias = constants[bias_name[0]] if any(bias_name) else np.zeros(len(weights), np.float32)
    return Convolution(node, layer, bias, node.input[0], _made(node, graph, constants))


def _made(node: NodeProto, graph: GraphProto, constants: Constants) -> str:
    """Return the name of the value behind a ReLU or ReLU6 that alone reads the node's output."""
    output: str = node.output[0]
    readers = [reader for reader in graph.node if output in reader.input]
    if len(readers) != 1:
        return output
    (reader,) = readers
    if {output, *reader.output} & {one.name for one in graph.output}:
        return output
    bounds = [constants.get(name) for name in reader.input[1:]] if reader.op_type == "Clip" else []
    lowest = bounds[0] if bounds else None
    from_zero = reader.op_type == "Relu" or (lowest is not None and not lowest)
    return str(reader.output[0]) if from_zero else output


def _rewrite(
    graph: GraphProto,
    convolutions: Mapping[str, tuple[Convolution, Moments]],
    grids: Mapping[str, Grid],
) -> None:
    """Let the convolutions compute with integers; the key of each is the name of what it makes."""
    of_nodes = {one.node.output[0]: (one, seen) for one, seen in convolutions.values()}
    nodes = _on_grids([given.name for given in graph.input], grids)
    for node in graph.node:
        output = node.output[0]
        if output in of_nodes:
            one, seen = of_nodes[output]
            nodes += _in_8_bits(one, seen)
            nodes += _on_grids([one.made], grids)
        elif output not in convolutions:
            changed = [_rounded(name) if name in convolutions else name for name in node.input]
            node.input[:] = changed
            nodes += [node, *_on_grids(node.output, grids)]
    read = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend(kept)


def _in_8_bits(one: Convolution, seen: Moments) -> list[NodeProto]:
    """Return the nodes of a convolution with integers."""
    layer, step = one.layer, seen.grid.step[0]
    integers, unit = rounded(layer.weights * step, seen.covariance, layer.taps)
    # A filter whose weights are next to nothing gives nothing but its bias.
    least = np.maximum(np.abs(one.bias) / _LARGEST_BIAS, _LEAST_UNIT).reshape(unit.shape)
    integers, unit = np.where(unit < least, 0, integers), np.maximum(unit, least)
    # What the mean output of each filter has gained by rounding, (groups, filters, 1).
    gained = unit * (integers @ (seen.integers - seen.grid.zero)) - layer.weights @ seen.exact
    bias = one.bias - gained.reshape(-1)
    weights, biases = f"{one.made}.weights", f"{one.made}.bias"
    node = NodeProto()
    node.CopyFrom(one.node)
    node.input[:] = [_rounded(one.given), weights, biases]
    node.output[:] = [one.made]
    steps = (unit.reshape(-1) / step).astype(np.float32)
    of_bias = steps * step
    return [
        *_dequantized(weights, layer.in_graph(integers).astype(np.int8), steps),
        *_dequantized(biases, np.round(bias / of_bias).astype(np.int32), of_bias),
        node,
    ]


def _dequantized(name: str, integers: npt.NDArray[Any], steps: Floats) -> list[NodeProto]:
    """Return the nodes of constants with a step for each filter."""
    parts = {
        f"{name}.integers": integers,
        f"{name}.steps": steps,
        f"{name}.zeros": np.zeros(len(steps), integers.dtype),
    }
    constants = [_constant(part, values) for part, values in parts.items()]
    return [*constants, helper.make_node("DequantizeLinear", [*parts], [name], axis=0)]


def _on_grids(names: Sequence[str], grids: Mapping[str, Grid]) -> list[NodeProto]:
    """Return the nodes that put values on their grids, if they have any."""
    return [node for name in names if name in grids for node in _on_grid(name, grids[name])]


def _on_grid(name: str, grid: Grid) -> list[NodeProto]:
    step, zero, integers = (f"{name}.{part}" for part in ("step", "zero", "integers"))
    return [
        _constant(step, grid.step[0]),
        _constant(zero, np.uint8(grid.zero)),
        helper.make_node("QuantizeLinear", [name, step, zero], [integers]),
        helper.make_node("DequantizeLinear", [integers, step, zero], [_rounded(name)]),
    ]


def _rounded(name: str) -> str:
    return f"{name}.rounded"


def _constant(name: str, values: npt.NDArray[Any] | np.generic) -> NodeProto:
    tensor = numpy_helper.from_array(np.ascontiguousarray(values).reshape(np.shape(values)))
    return helper.make_node("Constant", [], [name], value=tensor)
