"""The graph of a network's values, and its end: pooling, vector, classifier, softmax or sigmoid."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

# The names of the operations in Paddle's newer and older graphs, and in ONNX.
_ACTIVATION = {"softmax", "Softmax", "sigmoid", "Sigmoid"}
_LINEAR = {"matmul", "matmul_v2", "mul", "linear", "MatMul", "Gemm"}
_BETWEEN = {"add", "elementwise_add", "Add", "assign", "Identity"}
_POOLING = {"pool2d", "mean", "reduce_mean", "GlobalAveragePool", "AveragePool", "ReduceMean"}


@dataclass(frozen=True)
class Node:
    """One operation and the names of its inputs."""

    operation: str
    inputs: Sequence[str]


@dataclass(frozen=True)
class Graph:
    """The operations of a network.

    Attributes:
        nodes: for the name of each computed value, the operation that computes it.
        output: the name of the network's output.
        widths: the last dimension of the values, where the file says it.
    """

    nodes: Mapping[str, Node]
    output: str
    widths: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Ending:
    """The names of the values at the end of a network.

    Attributes:
        vectors: (N, K), what the linear classifier gets.
        weights: (K, classes) or (classes, K), of the classifier.
        logits: (N, classes), what the classifier gives.
        features: (N, K, h, w), what the last pooling gets; None if there is no pooling.
    """

    vectors: str
    weights: str
    logits: str
    features: str | None


def ending(graph: Graph) -> Ending | None:
    """Return the end of the network, or None if it has no linear classifier.

    The names of the operations only tell where to look. What the values are is for the caller to
    check by numbers.
    """
    logits = graph.output
    while (node := graph.nodes.get(logits)) and node.operation in {
        *_ACTIVATION,
        "Identity",
        "assign",
    }:
        logits = node.inputs[0]
    linear = _back(graph, logits, _LINEAR, _BETWEEN)
    if linear is None:
        return None
    vectors, weights = linear.inputs[:2]
    pooling = _back(graph, vectors, _POOLING)
    return Ending(vectors, weights, logits, pooling.inputs[0] if pooling else None)


def _back(
    graph: Graph, value: str, wanted: set[str], between: set[str] | None = None
) -> Node | None:
    """Return the nearest of the wanted operations before `value`.

    Args:
        graph: the graph.
        value: where the search begins.
        wanted: the names of the operations.
        between: the operations that may lie between; None allows any.
    """
    while node := graph.nodes.get(value):
        if node.operation in wanted:
            return node
        computed = [name for name in node.inputs if name in graph.nodes]
        if not computed or (between is not None and node.operation not in between):
            return None
        value = computed[0]
    return None
