"""The network cut in two: the trunk is its frozen first part, the tail is the rest, which learns.

On a CPU, Paddle's dynamic graph runs without oneDNN and takes four times as long as Paddle's
inference engine. So the trunk, which does not learn, runs in that engine.
"""

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import paddle
from paddle import Tensor, nn
from paddle.static import InputSpec

from app.disk import reserve, room_for
from app.images.preprocessing import Preprocessing
from app.model.paddle_engine import PaddleNetwork
from app.settings import Device
from app.training.network.folding import folded
from app.training.network.graph import save_graph
from app.training.network.mobilenetv2 import InvertedResidual, MobileNetV2
from app.training.network.quick_tail import QuickTail

Images = npt.NDArray[np.uint8]  # (N, H, W, 3)
Features = npt.NDArray[np.float32]  # (N, C, h, w), or (N, C) behind the pool
Trunk = Callable[[Images], Features]

# The network without its classifier has 19 segments: conv1, 17 inverted residual blocks and conv9.
SEGMENTS = 19
# From this segment on, the maps are small enough for `QuickTail`: 14 x 14 in images of 224 x 224.
_SMALL_MAPS = 14
# On a CPU, larger batches take longer per image.
_CHUNK = 4  # images


class _Files(NamedTuple):
    """The files of a saved graph, under the attribute names that `PaddleNetwork` reads."""

    directory: Path

    @property
    def graph(self) -> Path:
        return self.directory / "trunk.json"

    @property
    def parameters(self) -> Path:
        return self.directory / "trunk.pdiparams"


def segments(network: nn.Layer) -> list[nn.Layer]:
    """Return a MobileNetV2 without its classifier as 19 layers, in the order of their execution."""
    children = dict(network.named_children())
    blocks = [block for n in range(2, 9) for block in children[f"conv{n}"].children()]
    first = nn.Sequential(children["conv1"], nn.ReLU6())
    last = nn.Sequential(children["conv9"], nn.ReLU6(), children["pool"], nn.Flatten(1))
    return [first, *blocks, last]


def tail(network: MobileNetV2, frozen: int) -> nn.Sequential:
    """Return the part behind the first `frozen` segments; it shares the network's parameters."""
    return nn.Sequential(*segments(network)[frozen:], network.out)


def quick_tail(network: MobileNetV2, frozen: int) -> Callable[[Tensor], Tensor]:
    """Return a function that equals `tail` with fixed batch-norm statistics, but trains faster."""
    layers = segments(network)
    if frozen == SEGMENTS:
        return network.out
    begin = max(frozen, _SMALL_MAPS)
    first = nn.Sequential(*layers[frozen:begin])
    first.eval()
    blocks = [layer for layer in layers[begin:-1] if isinstance(layer, InvertedResidual)]
    last = QuickTail(blocks, network.conv9, network.out)
    return lambda x: last(first(x))


def trunk(
    network: MobileNetV2, frozen: int, spec: Preprocessing, device: Device, threads: int
) -> Trunk:
    """Return the first `frozen` segments as a function that maps images to features.

    Args:
        network: copied; later changes of its parameters do not reach the trunk.
        frozen: the number of segments; with 0 the trunk only normalizes the images.
        spec: the preprocessing, which gives the normalization.
        device: "cpu" runs Paddle's inference engine, "gpu" its dynamic graph.
        threads: the threads that the inference engine may use.
    """
    if not frozen:
        return spec.normalized
    layer = nn.Sequential(*segments(folded(network))[:frozen])
    layer.eval()
    run = _in_engine(layer, threads) if device == "cpu" else _in_dynamic_graph(layer)

    def infer(images: Images) -> Features:
        chunks = (images[start : start + _CHUNK] for start in range(0, len(images), _CHUNK))
        return np.concatenate([run(spec.normalized(chunk)) for chunk in chunks])

    return infer


def _in_engine(layer: nn.Layer, threads: int) -> Callable[[Features], Features]:
    inputs = InputSpec([None, 3, None, None], "float32", name="x")
    size = sum(int(value.size) * value.element_size() for value in layer.state_dict().values())
    folder = Path(tempfile.gettempdir()) / "trunk"
    with room_for(folder, size), tempfile.TemporaryDirectory(prefix="trunk-") as directory:
        files = _Files(Path(directory))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reserve(Path(directory), size)
            save_graph(layer, files.graph.with_suffix(""), inputs)
        return PaddleNetwork(files, "cpu", threads)


def _in_dynamic_graph(layer: nn.Layer) -> Callable[[Features], Features]:
    def run(x: Features) -> Features:
        with paddle.no_grad():
            y: Tensor = layer(paddle.to_tensor(x))
        return np.asarray(y.numpy(), np.float32)

    return run
