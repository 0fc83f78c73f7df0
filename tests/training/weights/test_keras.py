"""The converted network is compared with Keras's, written out here with the weights of the file.

Source: keras_applications/mobilenet_v2.py and TensorFlow's documentation of padding="SAME".
"""

from collections.abc import Iterator
from math import ceil
from pathlib import Path

import h5py
import numpy as np
import paddle
import pytest
from paddle import Tensor
from paddle.nn import functional as F  # noqa: N812  (this short name is common)

from app.model.bundle import load_bundle
from app.model.engine import Engine
from app.training.network.mobilenetv2 import MobileNetV2, Padding
from app.training.weights.build import import_file
from app.training.weights.keras import from_keras
from app.training.weights.sources import DEFAULT, WEIGHTS, read_sources

EPSILON = 1e-3
# The strides of the 17 inverted residual blocks.
STRIDES = [1, 2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1]


@pytest.fixture(scope="module")
def keras_file() -> Path:
    name = Path(read_sources()[DEFAULT].member or "").name
    file = WEIGHTS / ".downloads" / name
    if not file.is_file():
        pytest.fail(f"{file} is not there: run `python -m app weights build`")
    return file


@pytest.fixture(scope="module")
def keras(keras_file: Path) -> Iterator[h5py.File]:
    with h5py.File(keras_file, "r") as file:
        yield file


@pytest.fixture(scope="module")
def images() -> Tensor:
    pixels = np.random.default_rng(0).uniform(-1, 1, (3, 3, 96, 96))
    return paddle.to_tensor(pixels, "float32")


def dataset(keras: h5py.File, layer: str, name: str) -> Tensor:
    return paddle.to_tensor(np.asarray(keras[f"{layer}/{layer}/{name}:0"]))


def conv(keras: h5py.File, layer: str, x: Tensor, stride: int = 1) -> Tensor:
    depthwise = "depthwise" in layer
    kernel = dataset(keras, layer, "depthwise_kernel" if depthwise else "kernel")
    kernel = kernel.transpose([2, 3, 0, 1] if depthwise else [3, 2, 0, 1])
    side, size = x.shape[-1], kernel.shape[-1]
    pad = max((ceil(side / stride) - 1) * stride + size - side, 0)
    x = F.pad(x, [pad // 2, pad - pad // 2] * 2)
    return F.conv2d(x, kernel, stride=stride, groups=x.shape[1] if depthwise else 1)


def norm(keras: h5py.File, layer: str, x: Tensor) -> Tensor:
    mean, variance, gamma, beta = (
        dataset(keras, layer, name).reshape([1, -1, 1, 1])
        for name in ("moving_mean", "moving_variance", "gamma", "beta")
    )
    return (x - mean) / paddle.sqrt(variance + EPSILON) * gamma + beta


def keras_logits(keras: h5py.File, x: Tensor) -> Tensor:
    x = F.relu6(norm(keras, "bn_Conv1", conv(keras, "Conv1", x, stride=2)))
    for k, stride in enumerate(STRIDES):
        y = x
        # The first block has no expansion.
        if k > 0:
            y = conv(keras, f"mobl{k}_conv_{k}_expand", y)
            y = F.relu6(norm(keras, f"bn{k}_conv_{k}_bn_expand", y))
        y = conv(keras, f"mobl{k}_conv_{k}_depthwise", y, stride)
        y = F.relu6(norm(keras, f"bn{k}_conv_{k}_bn_depthwise", y))
        y = conv(keras, f"mobl{k}_conv_{k}_project", y)
        y = norm(keras, f"bn{k}_conv_{k}_bn_project", y)
        x = x + y if x.shape == y.shape else y
    x = F.relu6(norm(keras, "Conv_1_bn", conv(keras, "Conv_1", x)))
    x = x.mean([2, 3])
    return x @ dataset(keras, "Logits", "kernel") + dataset(keras, "Logits", "bias")


def converted(keras_file: Path, padding: Padding = "bottom-right") -> MobileNetV2:
    network = MobileNetV2(padding=padding)
    arrays = {key: paddle.to_tensor(value) for key, value in from_keras(keras_file).items()}
    missing, unexpected = network.set_state_dict(arrays)
    assert (missing, unexpected) == ([], [])
    network.eval()
    return network


@paddle.no_grad()
def test_the_network_gives_keras_logits(keras_file: Path, keras: h5py.File, images: Tensor) -> None:
    expected = keras_logits(keras, images)
    # The logits are far larger than the tolerance.
    assert float(expected.std()) > 0.5
    assert float((converted(keras_file)(images) - expected).abs().max()) < 1e-4


@pytest.mark.slow
@paddle.no_grad()
def test_the_bundle_of_it_gives_keras_probabilities(
    keras_file: Path, keras: h5py.File, tmp_path: Path
) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (2, 7, 7, 3), np.uint8)
    pixels = colours.repeat(32, axis=1).repeat(32, axis=2)  # (2, 224, 224, 3)
    x = paddle.to_tensor(pixels.transpose(0, 3, 1, 2) / 127.5 - 1, "float32")
    expected = F.softmax(keras_logits(keras, x)).numpy()

    bundle = load_bundle(import_file(keras_file, directory=tmp_path / "bundle"))

    assert bundle.name == "MobileNetV2_x1_0"
    assert bundle.preprocessing.srgb
    # The probabilities are far larger than the tolerance.
    assert expected.max() > 0.05
    np.testing.assert_allclose(Engine(bundle).infer(pixels), expected, atol=1e-5)


@paddle.no_grad()
def test_paddles_own_padding_gives_others(
    keras_file: Path, keras: h5py.File, images: Tensor
) -> None:
    got = converted(keras_file, "symmetric")(images)
    assert float((got - keras_logits(keras, images)).abs().max()) > 0.1


@paddle.no_grad()
def test_the_expansion_that_keras_has_not_changes_nothing(keras_file: Path, images: Tensor) -> None:
    network = converted(keras_file)
    x = F.relu6(network.conv1(images))
    expand = dict(network.named_sublayers())["conv2._first_block._expand_conv"]
    expanded = F.relu6(expand(x))
    assert float((expanded - x).abs().max()) < 1e-6


def test_a_file_of_another_network_is_a_key_error(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["conv_1/conv_1/kernel:0"] = np.zeros((3, 3, 3, 8), "float32")
        file["notes"] = "a dataset where a layer should be"
    with pytest.raises(KeyError, match="Conv1"):
        from_keras(tmp_path / "other.h5")


def test_a_file_without_the_classifier_is_a_key_error(keras: h5py.File, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "no_top.h5", "w") as file:
        for layer in keras:
            if layer != "Logits":
                keras.copy(layer, file)
    with pytest.raises(KeyError, match="Logits"):
        from_keras(tmp_path / "no_top.h5")


@pytest.mark.parametrize("content", [b"", b"no HDF5", None], ids=["empty", "other", "cut short"])
def test_what_is_no_hdf5_is_an_os_error(
    keras_file: Path, tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "broken.h5"
    file.write_bytes(keras_file.read_bytes()[:100_000] if content is None else content)
    with pytest.raises(OSError, match="Unable to"):
        from_keras(file)


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        from_keras(tmp_path / "missing.h5")
