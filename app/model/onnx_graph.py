"""ONNX's graph file, read and given further outputs, without the package onnx.

The numbers are those of the fields in `onnx.proto`.
"""

from collections.abc import Sequence
from pathlib import Path

from app.model.graph import Graph, Node
from app.model.wire import field, messages, parsed, texts

_GRAPH = 7
_NODE, _OUTPUT = 1, 12


def read(file: Path) -> Graph:
    """Return the graph in `file`.

    Raises:
        ValueError: the file does not have the known form.
    """
    try:
        (graph,) = messages(parsed(file.read_bytes()), _GRAPH)
        output = texts(messages(graph, _OUTPUT)[0], 1)[0]
        nodes: dict[str, Node] = {}
        for node in messages(graph, _NODE):
            (operation,) = texts(node, 4)
            # A constant is a parameter here, and no value that is computed.
            if operation != "Constant":
                nodes |= {made: Node(operation, texts(node, 1)) for made in texts(node, 2)}
    except IndexError as error:
        raise ValueError(f"{file} has an unknown form") from error
    return Graph(nodes, output)


def with_outputs(file: Path, names: Sequence[str]) -> bytes:
    """Return the content of `file` with further outputs behind the one that it has.

    A reader of protobuf joins what is appended to a message with the fields that it has already.
    """
    further = b"".join(field(_OUTPUT, field(1, name)) for name in names)
    return file.read_bytes() + field(_GRAPH, further)
