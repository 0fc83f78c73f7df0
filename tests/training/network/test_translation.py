"""Each of Paddle's operations does the same in OpenVINO."""

import re
from collections.abc import Callable
from pathlib import Path

import paddle
import pytest
from networks import LABELS, randomise, small_card
from paddle import nn
from paddle.nn import functional

from app.errors import StartupError
from app.model.bundle import load_bundle
from app.training.network.export import export
from app.training.network.openvino import add_openvino
from app.training.network.operations import TRANSLATIONS

Call = Callable[[paddle.Tensor], paddle.Tensor]


class Network(nn.Layer):
    """A convolution, a function of its features (N, 8, 16, 16), pooling and a linear layer."""

    def __init__(self, call: Call, channels: int = 8) -> None:
        super().__init__()
        self.stem = nn.Conv2D(3, 8, 4, stride=4)
        # A layer is a parameter here only if it is an attribute.
        self.call = call
        self.pool = nn.AdaptiveAvgPool2D(1)
        self.out = nn.Linear(channels, len(LABELS))
        randomise(self)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """Map (N, 3, H, W) to (N, classes)."""
        logits: paddle.Tensor = self.out(self.pool(self.call(self.stem(x))).flatten(1))
        return logits


def _tokens(x: paddle.Tensor) -> paddle.Tensor:
    """Do what a vision transformer does with shapes: (N, C, H, W) to tokens and back."""
    tokens = x.flatten(2).transpose([0, 2, 1])
    first = paddle.ones([1, 1, 8]).expand([x.shape[0], -1, -1])
    tokens = paddle.concat([first, tokens], axis=1)
    query = tokens.reshape([x.shape[0], -1, 2, 4]).transpose([2, 0, 1, 3])[0]
    weights = functional.softmax(0.5 * query.matmul(query, transpose_y=True))
    mixed = paddle.concat([weights.matmul(query), query], axis=-1)[:, 1:]
    return mixed.transpose([0, 2, 1]).unsqueeze(-1)


def _shuffled(x: paddle.Tensor) -> paddle.Tensor:
    """Exchange channels, as ShuffleNet does."""
    left, right = paddle.split(x, [3, 5], axis=1)
    both = paddle.stack([left[:, :3], right[:, 2:]], axis=1)
    return paddle.concat([both.transpose([0, 2, 1, 3, 4]).flatten(1, 2), x[:, :2]], axis=1)


CALLS: dict[str, Call] = {
    "batch norm": nn.BatchNorm2D(8),
    "grouped": nn.Conv2D(8, 8, 3, groups=2, padding=[0, 1, 2, 1]),
    "depthwise, dilated": nn.Conv2D(8, 8, 3, groups=8, dilation=2),
    "same padding": nn.Conv2D(8, 8, 3, stride=2, padding="SAME"),
    "max pooling": nn.MaxPool2D(3, 2, padding=1),
    "max pooling, same": nn.MaxPool2D(2, 1, padding="SAME"),
    "average pooling": nn.AvgPool2D(3, 2, padding=1, ceil_mode=True),
    "average pooling, inclusive": nn.AvgPool2D(3, 2, padding=1, exclusive=False),
    "layer norm": nn.LayerNorm(16),
    "activations": nn.Sequential(
        nn.Hardswish(), nn.Swish(), nn.GELU(), nn.GELU(approximate=True), nn.ReLU6(), nn.Sigmoid()
    ),
    "hard sigmoid": lambda x: functional.hardsigmoid(x, 0.2, 0.5) * functional.relu(x),
    "dropout": nn.Dropout(0.2),
    "dropout, older": nn.Dropout(0.2, mode="downscale_in_infer"),
    "arithmetic": lambda x: paddle.sqrt((x - 1.5) ** 2.0 / 3.0 + paddle.pow(x, 2)) * 2.0,
    "clip": lambda x: paddle.clip(x, 0.0, 1.0),
    "mean": lambda x: x - x.mean(1, keepdim=True),
    "slice": lambda x: x[:, :, 1:, :-1],
    "tokens": _tokens,
    "shuffled": _shuffled,
}


@pytest.mark.parametrize("name", CALLS)
def test_the_answers_are_paddles(name: str, tmp_path: Path) -> None:
    # `add_openvino` compares the scores, to 1e-4, and so does `export` with the network itself.
    export(Network(CALLS[name]), small_card(), tmp_path / "bundle")
    add_openvino(tmp_path / "bundle")
    load_bundle(tmp_path / "bundle")


def test_an_operation_without_a_translation_is_named(tmp_path: Path) -> None:
    directory = tmp_path / "bundle"
    export(Network(paddle.tanh), small_card(), directory)
    message = rf"{re.escape(str(directory))}: the operation tanh has no translation"
    with pytest.raises(StartupError, match=message):
        add_openvino(directory)
    assert {file.suffix for file in directory.iterdir()} == {".json", ".pdiparams", ".yml"}


def test_another_networks_answers_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "bundle"
    export(Network(functional.relu), small_card(), directory)
    monkeypatch.setitem(TRANSLATIONS, "relu", TRANSLATIONS["sigmoid"])
    with pytest.raises(StartupError, match="does not give the bundle's golden answers"):
        add_openvino(directory)
    assert all(file.suffix != ".xml" for file in directory.iterdir())
