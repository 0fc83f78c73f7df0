"""Paddle's graph `inference.json`, translated for OpenVINO, operation by operation.

OpenVINO itself reads only the older `inference.pdmodel`. Each value of the translated graph has the
name that it has in Paddle's graph.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from app.model import paddle_graph
from app.model.openvino_core import openvino as ov
from app.training.network.parameters import read_parameters

ops = ov.opset13

_Inputs = Sequence[ov.Node]
_Attributes = Mapping[str, Any]


def translated(graph: Path, parameters: Path) -> ov.Model:
    """Return the network of Paddle's files `inference.json` and `inference.pdiparams`.

    Raises:
        ValueError: the files have an unknown form, or the graph has an operation that has no
            translation.
    """
    operations = paddle_graph.operations(graph)
    names = sorted(op.attributes["name"] for op in operations if op.name == "p")
    # The parameters lie in their file in the order of their names.
    constants = dict(zip(names, read_parameters(parameters), strict=True))
    values: dict[str, ov.Node] = {}
    inputs, outputs = [], []
    for op in operations:
        given = [values[name] for name in op.inputs]
        if op.name == "fetch":
            outputs += given
            continue
        if op.name == "p":
            node = ops.constant(constants[op.attributes["name"]])
        elif op.name == "data":
            node = ops.parameter(op.attributes["shape"], np.float32)
            inputs.append(node)
        elif op.name in _TRANSLATIONS:
            node = _TRANSLATIONS[op.name](given, op.attributes)
        else:
            raise ValueError(f"the operation {op.name} has no translation")
        values[op.outputs[0]] = node
        node.output(0).set_names({op.outputs[0]})
    model = ov.Model(outputs, inputs, "network")
    _fold_constants(model)
    return model


def _fold_constants(model: ov.Model) -> None:
    # An import at the top would come before that of `openvino_core`, and with the telemetry.
    from openvino.passes import ConstantFolding, Manager  # noqa: PLC0415

    manager = Manager()
    manager.register_pass(ConstantFolding())
    manager.run_passes(model)


def _conv2d(inputs: _Inputs, attributes: _Attributes) -> ov.Node:
    features, filters = inputs
    groups = attributes["groups"]
    top, bottom, left, right = _paddings(attributes["paddings"])
    where = {
        "strides": attributes["strides"],
        "pads_begin": [top, left],
        "pads_end": [bottom, right],
        "dilations": attributes["dilations"],
    }
    if groups == 1:
        return ops.convolution(features, filters, **where)
    count, *rest = filters.shape
    grouped = ops.reshape(filters, [groups, count // groups, *rest], special_zero=False)
    return ops.group_convolution(features, grouped, **where)


def _paddings(paddings: Sequence[int]) -> Sequence[int]:
    """Return the paddings at the top, bottom, left and right."""
    if len(paddings) == 2:
        vertical, horizontal = paddings
        return vertical, vertical, horizontal, horizontal
    return paddings


def _pool2d(inputs: _Inputs, attributes: _Attributes) -> ov.Node:
    if attributes["pooling_type"] == "avg" and (
        attributes["global_pooling"] or attributes["adaptive"]
    ):
        return ops.reduce_mean(inputs[0], np.array([2, 3]), keep_dims=True)
    raise NotImplementedError


def _flatten(inputs: _Inputs, attributes: _Attributes) -> ov.Node:
    start, stop = attributes["start_axis"], attributes["stop_axis"]
    rank = len(inputs[0].get_output_partial_shape(0))
    shape = [*[0] * start, -1, *[0] * (rank - 1 - stop % rank)]
    return ops.reshape(inputs[0], np.array(shape), special_zero=True)


_TRANSLATIONS: dict[str, Callable[[_Inputs, _Attributes], ov.Node]] = {
    "add": lambda inputs, _: ops.add(*inputs),
    "conv2d": _conv2d,
    "depthwise_conv2d": _conv2d,
    "flatten": _flatten,
    "full_int_array": lambda _, attributes: ops.constant(np.array(attributes["value"], np.int64)),
    "matmul": lambda inputs, attributes: ops.matmul(
        *inputs, attributes["transpose_x"], attributes["transpose_y"]
    ),
    "pool2d": _pool2d,
    "relu6": lambda inputs, _: ops.clamp(inputs[0], 0.0, 6.0),
    # A length of 0 stands for that of the input.
    "reshape": lambda inputs, _: ops.reshape(*inputs, special_zero=True),
    "softmax": lambda inputs, attributes: ops.softmax(inputs[0], attributes["axis"]),
}
