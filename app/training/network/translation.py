"""Paddle's graph `inference.json`, translated for OpenVINO, operation by operation.

OpenVINO itself reads only the older `inference.pdmodel`. Each value of the translated graph has the
name that it has in Paddle's graph.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from app.model import paddle_graph
from app.model.openvino_core import openvino as ov
from app.model.paddle_graph import Operation
from app.training.network.operations import TRANSLATIONS, Given, Value
from app.training.network.parameters import read_parameters

_ops = ov.opset13


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
    values: dict[str, Value] = {}
    inputs, outputs = [], []
    for op in operations:
        if op.name == "fetch":
            outputs += [values[name] for name in op.inputs]
            continue
        if op.name == "data":
            inputs.append(_ops.parameter(op.attributes["shape"], np.float32))
            made: tuple[Value, ...] = (inputs[-1].output(0),)
        else:
            # The name of an input that is left out is 0.
            made = _made(op, [values.get(name) for name in op.inputs], constants)
        # An operation may have further outputs that only training uses.
        values |= zip(op.outputs, made, strict=False)
        for name, value in zip(op.outputs, made, strict=False):
            if isinstance(value, ov.Output):
                value.add_names({name})
    model = ov.Model(outputs, inputs, "network")
    _fold_constants(model)
    return model


def _made(
    op: Operation, given: Given, constants: Mapping[str, npt.NDArray[np.generic]]
) -> tuple[Value, ...]:
    """Return the values that an operation makes of those that it gets."""
    if op.name == "p":
        return (_ops.constant(constants[op.attributes["name"]]).output(0),)
    if op.name not in TRANSLATIONS:
        raise ValueError(f"the operation {op.name} has no translation")
    made = TRANSLATIONS[op.name](given, op.attributes)
    return made if isinstance(made, tuple) else (made.output(0),)


def _fold_constants(model: ov.Model) -> None:
    # An import at the top would come before that of `openvino_core`, and with the telemetry.
    from openvino.passes import ConstantFolding, Manager  # noqa: PLC0415

    manager = Manager()
    manager.register_pass(ConstantFolding())
    manager.run_passes(model)
