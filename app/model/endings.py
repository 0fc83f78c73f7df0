"""Where a bundle's network ends, read from the graph file of an engine."""

from app.errors import NoFeatures
from app.model import onnx_graph, paddle_graph
from app.model.bundle import ONNX, ONNX_INT8, Bundle
from app.model.graph import Ending, Graph, ending
from app.settings import EngineName

_ONNX_FILES: dict[EngineName, str] = {"onnxruntime": ONNX, "onnxruntime-int8": ONNX_INT8}


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
    if engine in _ONNX_FILES:
        return onnx_graph.read(bundle.directory / _ONNX_FILES[engine])
    # In OpenVINO's file the values have the names that they have in Paddle's graph.
    return paddle_graph.read(bundle.graph)
