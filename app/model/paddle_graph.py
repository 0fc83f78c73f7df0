"""Paddle's graph files, read and given further outputs, without Paddle.

`inference.json` is the newer form. `inference.pdmodel` is the older one, a message of protobuf as
in Paddle's `framework.proto`.
"""

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from app.model.graph import Graph, Node, ending
from app.model.wire import Message, field, messages, parsed, texts

# The numbers of the fields in `framework.proto`.
_BLOCKS = 1
_VARS, _OPS = 3, 4
_INPUTS, _OUTPUTS, _TYPE, _ATTRIBUTES = 1, 2, 3, 4
_ARGUMENTS = 2


class Operation(NamedTuple):
    """One operation of a newer graph.

    Attributes:
        name: without its dialect; "p" stands for a parameter.
        inputs: the names of the values that it gets.
        outputs: the names of the values that it computes.
        attributes: as plain data; a parameter has the attribute `name`.
    """

    name: str
    inputs: Sequence[str]
    outputs: Sequence[str]
    attributes: Mapping[str, Any]


def operations(file: Path) -> list[Operation]:
    """Return the operations of the graph in `file`, an `inference.json`, in their order.

    Raises:
        ValueError: the file does not have the known form.
    """
    try:
        return [
            Operation(_name(op), _inputs(op), [str(made["%"]) for made in _made(op)], _plain(op))
            for op in _ops(json.loads(file.read_bytes()))
        ]
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ValueError(f"{file} has an unknown form") from error


def read(file: Path) -> Graph:
    """Return the graph in `file`.

    Raises:
        ValueError: the file does not have the known form.
    """
    try:
        return _read_json(_ops(json.loads(file.read_bytes()))) if _is_json(file) else _read(file)
    except (KeyError, IndexError, TypeError, AttributeError, StopIteration) as error:
        raise ValueError(f"{file} has an unknown form") from error


def vector_length(file: Path) -> int | None:
    """Return the length of the vector before the classifier, or None if the file has none."""
    try:
        graph = read(file)
    except (ValueError, RecursionError):
        return None
    end = ending(graph)
    width = graph.widths.get(end.vectors, 0) if end else 0
    return width if width > 0 else None


def with_outputs(file: Path, names: Sequence[str]) -> bytes:
    """Return the content of `file` with further outputs behind the one that it has."""
    if not _is_json(file):
        return _with_fetches(file.read_bytes(), names)
    program = json.loads(file.read_bytes())
    ops = _ops(program)
    types = {str(made["%"]): made["TT"] for op in ops for made in _made(op)}
    fetch = next(op for op in ops if _name(op) == "fetch")
    last = max(made["%"] for op in ops for made in _made(op))
    for number, name in enumerate(names, start=1):
        further = copy.deepcopy(fetch)
        attributes = {attribute["N"]: attribute["AT"] for attribute in further["A"]}
        attributes["name"]["D"] = f"{attributes['name']['D']}_inside_{number}"
        attributes["col"]["D"] = number
        further["I"] = [{"%": int(name)}]
        further["O"][0] |= {"%": last + number, "TT": types[name]}
        ops.append(further)
    return json.dumps(program).encode()


def _is_json(file: Path) -> bool:
    return file.suffix == ".json"


def _ops(program: Any) -> list[Any]:  # noqa: ANN401  (JSON)
    ops: list[Any] = program["program"]["regions"][0]["blocks"][0]["ops"]
    return ops


def _name(op: dict[str, Any]) -> str:
    """Return the operation's name without its dialect; "p" stands for a parameter."""
    return str(op["#"]).rpartition(".")[2]


def _made(op: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the values that an operation gives; a parameter is written without a list."""
    made = op["O"]
    return [made] if isinstance(made, dict) else made


def _inputs(op: dict[str, Any]) -> list[str]:
    return [str(given["%"]) for given in op.get("I", ())]


def _plain(op: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes of an operation; those of a parameter have no names in the file."""
    if _name(op) == "p":
        return {"name": op["A"][3]}
    return {attribute["N"]: _value(attribute["AT"]) for attribute in op["A"]}


def _value(written: dict[str, Any]) -> Any:  # noqa: ANN401  (any attribute)
    value = written.get("D")
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        return [_value(item) for item in value]
    return value


def _read_json(ops: Sequence[dict[str, Any]]) -> Graph:
    nodes: dict[str, Node] = {}
    widths: dict[str, int] = {}
    output = ""
    for op in ops:
        inputs = _inputs(op)
        if _name(op) == "fetch":
            output = output or inputs[0]
        elif _name(op) != "p":
            nodes |= {str(made["%"]): Node(_name(op), inputs) for made in _made(op)}
            for made in _made(op):
                widths[str(made["%"])] = _width_of(made["TT"])
    return Graph(nodes, output, widths)


def _width_of(kind: dict[str, Any]) -> int:
    """Return the last dimension of a value by its type; 0 if it has none, as a list of tensors."""
    is_tensor = kind["#"].endswith("tensor")
    return int(kind["D"][1][-1]) if is_tensor and kind["D"][1] else 0


def _read(file: Path) -> Graph:
    block = messages(parsed(file.read_bytes()), _BLOCKS)[0]
    nodes: dict[str, Node] = {}
    output = ""
    for op in messages(block, _OPS):
        (name,) = texts(op, _TYPE)
        inputs = _arguments(op, _INPUTS)
        if name == "fetch":
            output = output or inputs[0]
        else:
            nodes |= {made: Node(name, inputs) for made in _arguments(op, _OUTPUTS)}
    return Graph(nodes, output, dict(map(_width, messages(block, _VARS))))


def _arguments(op: Message, number: int) -> list[str]:
    return [name for slot in messages(op, number) for name in texts(slot, _ARGUMENTS)]


def _width(variable: Message) -> tuple[str, int]:
    """Return a variable's name and its last dimension; 0 if it has none."""
    (name,) = texts(variable, 1)
    shapes = [
        tensor
        for kind in messages(variable, 2)
        for dense in messages(kind, 3)
        for tensor in messages(dense, 1)
    ]
    dimensions = [size for shape in shapes for size in shape.get(2, ()) if isinstance(size, int)]
    return name, dimensions[-1] if dimensions else 0


def _with_fetches(content: bytes, names: Sequence[str]) -> bytes:
    """Return an older graph with further outputs."""
    program = parsed(content)
    first, *others = (block for block in program[_BLOCKS] if isinstance(block, bytes))
    for number, name in enumerate(names, start=1):
        column = field(1, "col") + field(2, 0) + field(3, number)
        first += field(
            _OPS,
            field(_INPUTS, field(1, "X") + field(_ARGUMENTS, name))
            + field(_OUTPUTS, field(1, "Out") + field(_ARGUMENTS, "fetch"))
            + field(_TYPE, "fetch")
            + field(_ATTRIBUTES, column),
        )
    rest = [
        field(number, value)
        for number, values in program.items()
        for value in values
        if number != _BLOCKS
    ]
    return b"".join([*(field(_BLOCKS, block) for block in (first, *others)), *rest])
