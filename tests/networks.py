"""Small networks whose scores differ between images, and bundles of these networks."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import yaml
from paddle import nn
from paddle.static import InputSpec

from app.model.bundle import CONFIG
from app.training.network.export import Card, export
from app.training.network.graph import save_graph
from app.training.network.mobilenetv2 import MobileNetV2

LABELS = ("cat", "dog", "Gänseblümchen")
SIDE = 64


def randomise(network: nn.Layer, seed: int = 0) -> None:
    """Set random weights and statistics, so that every layer matters and logits are of order 1.

    A fresh network in eval mode gives logits of about 1e-7, so a test could not see an error.
    """
    rng = np.random.default_rng(seed)
    for key, value in network.state_dict().items():
        shape = tuple(value.shape)
        if value.dtype not in {paddle.float32, paddle.float16}:
            # Transformers have tables of places, which are no weights.
            continue
        if key.endswith(("_variance", "_batch_norm.weight")):
            array = rng.uniform(0.5, 1.5, shape)
        elif len(shape) > 1:
            fan_in = np.prod(shape[1:]) if len(shape) == 4 else shape[0]
            array = rng.normal(0, np.sqrt(2 / fan_in), shape)
        else:
            array = rng.normal(0, 0.3, shape)
        value.set_value(array.astype("float32"))
    network.eval()


def small_network(seed: int = 0) -> MobileNetV2:
    network = MobileNetV2(class_num=len(LABELS), scale=0.25)
    randomise(network, seed)
    return network


def linear_network(height: int = SIDE, width: int = SIDE) -> nn.Layer:
    """Return a network that exports fast and whose scores differ between pictures."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * height * width, len(LABELS)))
    randomise(network)
    return network


def colour_network() -> nn.Layer:
    """Return a network whose class 0 means a mostly red picture, 1 a green one, 2 a blue one."""
    network = nn.Sequential(nn.AdaptiveAvgPool2D(1), nn.Flatten(), nn.Linear(3, len(LABELS)))
    network[2].weight.set_value(2 * np.eye(3, dtype="float32"))
    network[2].bias.set_value(np.zeros(3, "float32"))
    return network


class Dazzled(nn.Layer):
    """A network that gives no valid scores for a bright picture."""

    def __init__(self) -> None:
        super().__init__()
        self.colours = colour_network()

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """Map (N, 3, H, W) to (N, classes)."""
        return paddle.sqrt(3 - self.colours(x))


class Mirror(nn.Layer):
    """A network whose scores contain its input.

    After the softmax, each score is (one byte of the input + 1) / sum, and one more score is
    LEVEL / sum. The sum follows from this last score, so a test can compute the bytes from rounded
    scores.
    """

    LEVEL = 1e5

    def __init__(self) -> None:
        super().__init__()
        level = nn.initializer.Constant(self.LEVEL)
        self.level = self.create_parameter([1], default_initializer=level)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """Map (N, 3, H, W) to (N, 3 * H * W + 1)."""
        seen = paddle.flatten(x, 1) + 1
        level = 0 * seen[:, :1] + self.level
        return paddle.log(paddle.concat([seen, level], axis=1))


def transform_ops(
    resize: Mapping[str, Any] | None = None,
    crop: int | tuple[int, int] = SIDE,
    normalize: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    return [
        {"ResizeImage": resize or {"resize_short": 73}},
        {"CropImage": {"size": list(crop) if isinstance(crop, tuple) else crop}},
        {"NormalizeImage": normalize or {}},
        {"ToCHWImage": None},
    ]


def small_card(ops: list[dict[str, Any]] | None = None) -> Card:
    return Card("small", ops or transform_ops(), LABELS, {"source": "a test"})


def export_dazzled(directory: Path) -> None:
    """Write a bundle whose network gives no valid scores for bright pictures."""
    export(Dazzled(), small_card(), directory)


def export_small(directory: Path, seed: int = 0) -> MobileNetV2:
    """Write a bundle of a small MobileNetV2 and return its network."""
    network = small_network(seed)
    export(network, small_card(), directory)
    return network


def export_plain(network: nn.Layer, directory: Path) -> Path:
    """Write a network as PaddleClas does by default: without a yml."""
    size = InputSpec([None, 3, SIDE, SIDE], "float32", name="x")
    save_graph(network, directory / "inference", size, translate=True)
    return directory


def export_sigmoid(network: nn.Layer, directory: Path, **sections: object) -> Path:
    """Write a bundle of a network with a sigmoid behind it, with these sections in its yml."""
    export_plain(nn.Sequential(network, nn.Sigmoid()), directory)
    config = {"PreProcess": {"transform_ops": transform_ops()}, **sections}
    (directory / "inference.yml").write_text(yaml.safe_dump(config), "utf-8")
    return directory


def shallow_network() -> nn.Layer:
    """A network of random weights with unusual layers.

    In a deep network of random weights, small errors would grow from layer to layer.
    """
    network = nn.Sequential(
        nn.Conv2D(3, 8, 3, stride=2, padding=1),
        nn.ReLU6(),
        nn.Conv2D(8, 8, 3, groups=8, padding=1),
        nn.Hardswish(),
        nn.Conv2D(8, 12, 3, groups=2, padding=1),
        nn.Conv2D(12, 16, 1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2D(1),
        nn.Flatten(),
        nn.Linear(16, 3),
    )
    randomise(network)
    return network


def without_hashes(bundle: Path) -> None:
    """Let the bundle accept any files, so that only its golden answers are left."""
    config = yaml.safe_load((bundle / CONFIG).read_text("utf-8"))
    del config["Provenance"]["sha256"]
    (bundle / CONFIG).write_text(yaml.safe_dump(config), "utf-8")
