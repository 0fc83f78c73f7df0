"""The network cut in two: a trunk that stays as it is, and a tail that learns.

Paddle's dynamic graph runs on CPU without oneDNN and takes four times as long as its inference
engine. What does not learn goes through that engine.
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

from app.images.preprocessing import Preprocessing
from app.model.paddle_engine import PaddleNetwork
from app.settings import Device
from app.training.network.folding import folded
from app.training.network.mobilenetv2 import MobileNetV2

Planes = npt.NDArray[np.float32]
Images = npt.NDArray[np.uint8]
Trunk = Callable[[Images], Planes]  # (N, H, W, 3) -> (N, C, h, w), or (N, C) behind the pool

STEPS = 19  # conv1, 17 blocks, conv9
_CHUNK = 4  # images at once: on CPU, larger batches are slower for each


class _Files(NamedTuple):
    """A saved graph, as the engine wants it."""

    directory: Path

    @property
    def graph(self) -> Path:
        return self.directory / "trunk.json"

    @property
    def parameters(self) -> Path:
        return self.directory / "trunk.pdiparams"


def steps(network: nn.Layer) -> list[nn.Layer]:
    """Return a MobileNetV2 without its classifier as 19 layers, one behind the other."""
    children = dict(network.named_children())
    blocks = [block for n in range(2, 9) for block in children[f"conv{n}"].children()]
    first = nn.Sequential(children["conv1"], nn.ReLU6())
    last = nn.Sequential(children["conv9"], nn.ReLU6(), children["pool"], nn.Flatten(1))
    return [first, *blocks, last]


def tail(network: MobileNetV2, frozen: int) -> nn.Sequential:
    """Return what follows the first `frozen` steps, with the network's own parameters."""
    return nn.Sequential(*steps(network)[frozen:], network.out)


def trunk(
    network: MobileNetV2, frozen: int, spec: Preprocessing, device: Device, threads: int
) -> Trunk:
    """Return the first `frozen` steps as a function of images, run as fast as the device can."""
    if not frozen:
        return spec.normalized
    layer = nn.Sequential(*steps(folded(network))[:frozen])
    layer.eval()
    run = _saved(layer, spec, threads) if device == "cpu" else _dynamic(layer)

    def infer(images: Images) -> Planes:
        chunks = (images[start : start + _CHUNK] for start in range(0, len(images), _CHUNK))
        return np.concatenate([run(spec.normalized(chunk)) for chunk in chunks])

    return infer


def _saved(layer: nn.Layer, spec: Preprocessing, threads: int) -> Callable[[Planes], Planes]:
    width, height = spec.crop
    inputs = [InputSpec([None, 3, height, width], "float32", name="x")]
    with tempfile.TemporaryDirectory(prefix="trunk-") as directory:
        files = _Files(Path(directory))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            paddle.jit.save(layer, str(files.graph.with_suffix("")), input_spec=inputs)
        return PaddleNetwork(files, "cpu", threads)


def _dynamic(layer: nn.Layer) -> Callable[[Planes], Planes]:
    def run(x: Planes) -> Planes:
        with paddle.no_grad():
            y: Tensor = layer(paddle.to_tensor(x))
        return np.asarray(y.numpy(), np.float32)

    return run
