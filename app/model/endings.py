"""Where a bundle's network ends, read from the graph file of an engine."""

from app.errors import NoFeatures
from app.model import onnx_graph, paddle_graph
from app.model.bundle import ONNX, Bundle
from app.model.graph import Ending, Graph, ending
from app.settings import EngineName


def read_ending(bundle: Bundle, engine: EngineName) -> Ending:
    """Return the names of the values at the end of the network.

    Raises:
        NoFeatures: the network does not end in a linear classifier, or its file is unknown.
    """
    try:
        end = ending(_graph(bundle, engine))
    except ValueError:
        end = None
    if end is None:
        raise NoFeatures
    return end


def _graph(bundle: Bundle, engine: EngineName) -> Graph:
    if engine == "onnxruntime":
        return onnx_graph.read(bundle.directory / ONNX)
    # In OpenVINO's file the values have the names that they have in Paddle's graph.
    return paddle_graph.read(bundle.graph)
