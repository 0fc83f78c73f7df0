"""Maps and vectors from the exported files are those of the network itself."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import paddle
import pytest
import skimage
from networks import (
    Dazzled,
    colour_network,
    export_sigmoid,
    linear_network,
    randomise,
    small_card,
    small_network,
)
from paddle import nn
from paddle.vision import models

from app.errors import NoFeatures, NotExplainable
from app.images.decoding import decode
from app.model import onnx_graph, paddle_graph
from app.model.bundle import ONNX, Bundle, load_bundle
from app.model.engine import Engine
from app.model.features import FeatureNetwork
from app.settings import EngineName
from app.training.network.export import export
from app.training.network.folding import folded
from app.training.network.freezing import SEGMENTS, trunk
from app.training.network.mobilenetv2 import MobileNetV2
from app.training.network.openvino import add_openvino

TESTS = Path(__file__).parents[1]
PHOTOS = Path(skimage.__file__).parent / "data"
COLOURS = np.random.default_rng(1).integers(0, 256, (3, 4, 4, 3), np.uint8)
IMAGES = COLOURS.repeat(16, axis=1).repeat(16, axis=2)  # (3, 64, 64, 3)

Array = npt.NDArray[np.float32]


def own_features(
    network: nn.Layer, pooling: nn.Layer, bundle: Bundle, images: npt.NDArray[np.uint8]
) -> Array:
    """Return what the pooling layer gets, (N, K, h, w), when the network itself runs."""
    seen: list[Array] = []

    def see(_: nn.Layer, inputs: Any) -> None:  # noqa: ANN401  (a tuple with one tensor)
        seen.append(inputs[0].numpy())

    hook = pooling.register_forward_pre_hook(see)  # type: ignore[arg-type]  # it may return None
    network.eval()
    with paddle.no_grad():
        network(paddle.to_tensor(bundle.preprocessing.normalized(images)))
    hook.remove()
    (features,) = seen
    return features


def own_maps(features: Array, classifier: nn.Linear) -> Array:
    """Return the maps of all classes (N, classes, h, w), as their definition says."""
    own: Array = np.einsum("nkyx,kc->ncyx", features, classifier.weight.numpy())
    return own


def maps(network: FeatureNetwork, images: npt.NDArray[np.uint8], classes: int) -> Array:
    features = network(images)
    return np.stack(
        [
            [network.activation_map(features, row, class_id).values for class_id in range(classes)]
            for row in range(len(images))
        ]
    )


def assert_same(
    found: FeatureNetwork,
    bundle: Bundle,
    network: nn.Layer,
    ends: tuple[nn.Layer, nn.Linear],
    images: npt.NDArray[np.uint8] = IMAGES,
) -> None:
    """Compare vectors, maps, biases and scores with those of the network itself."""
    pooling, classifier = ends
    expected = own_features(network, pooling, bundle, images)
    features = found(images)
    np.testing.assert_allclose(features.vectors, expected.mean((2, 3)), atol=1e-4)
    own = own_maps(expected, classifier)
    assert np.ptp(own, axis=(2, 3)).min() > 0.01
    np.testing.assert_allclose(maps(found, images, own.shape[1]), own, atol=1e-4)
    for class_id, bias in enumerate(classifier.bias.numpy()):
        assert found.activation_map(features, 0, class_id).bias == pytest.approx(bias, abs=1e-4)
    np.testing.assert_allclose(features.scores, Engine(bundle).infer(images), atol=1e-5)


@pytest.mark.parametrize("engine", ["paddle", "paddle-bfloat16"])
def test_they_are_those_of_the_network(small_bundle: Path, engine: EngineName) -> None:
    network, bundle = small_network(), load_bundle(small_bundle)
    found = FeatureNetwork(bundle, engine=engine)
    assert found.explainable
    assert_same(found, bundle, network, (network.pool, network.out))
    assert paddle_graph.vector_length(bundle.graph) == network.feature_size


def test_the_mean_of_a_map_and_the_bias_are_the_logit(small_bundle: Path) -> None:
    network, bundle = small_network(), load_bundle(small_bundle)
    with paddle.no_grad():
        logits = network(paddle.to_tensor(bundle.preprocessing.normalized(IMAGES))).numpy()
    found = FeatureNetwork(bundle)
    features = found(IMAGES)
    for row, class_id in np.ndindex(logits.shape):
        activation = found.activation_map(features, row, class_id)
        sum_ = activation.values.mean() + activation.bias
        assert sum_ == pytest.approx(logits[row, class_id], abs=1e-4)


def test_vectors_are_what_training_computes(small_bundle: Path) -> None:
    bundle = load_bundle(small_bundle)
    expected = trunk(small_network(), SEGMENTS, bundle.preprocessing, "cpu", 1)(IMAGES)
    assert np.ptp(expected, axis=0).max() > 0.1
    np.testing.assert_allclose(FeatureNetwork(bundle)(IMAGES).vectors, expected, atol=1e-4)


OLDER = "import sys, networks; networks.export_small(networks.Path(sys.argv[1]))"


@pytest.mark.slow
def test_the_older_graph_file_has_them_too(tmp_path: Path) -> None:
    # Paddle reads the flag when it is imported, so another process has to export.
    env = {**os.environ, "FLAGS_enable_pir_api": "0", "PYTHONPATH": str(TESTS)}
    subprocess.run([sys.executable, "-c", OLDER, str(tmp_path / "older")], env=env, check=True)
    network, bundle = small_network(), load_bundle(tmp_path / "older")
    assert bundle.graph.suffix == ".pdmodel"
    assert_same(FeatureNetwork(bundle), bundle, network, (network.pool, network.out))
    assert paddle_graph.vector_length(bundle.graph) == network.feature_size
    add_openvino(bundle.directory)
    found = FeatureNetwork(load_bundle(bundle.directory), engine="openvino")
    assert_same(found, bundle, network, (network.pool, network.out))


def with_onnx(bundle: Path, directory: Path) -> Bundle:
    """Return a copy of the bundle that also has the file for ONNX Runtime."""
    pytest.importorskip("paddle2onnx", reason="paddle2onnx has no wheel for this Python")
    from app.training.network.onnx import add_onnx  # noqa: PLC0415  (needs the package)

    add_onnx(shutil.copytree(bundle, directory))
    return load_bundle(directory)


def test_onnx_runtime_has_them_too(small_bundle: Path, tmp_path: Path) -> None:
    network, bundle = small_network(), with_onnx(small_bundle, tmp_path / "bundle")
    found = FeatureNetwork(bundle, engine="onnxruntime")
    assert_same(found, bundle, network, (network.pool, network.out))


def test_openvino_has_them_too(small_bundle: Path, tmp_path: Path) -> None:
    add_openvino(shutil.copytree(small_bundle, tmp_path / "bundle"))
    network, bundle = small_network(), load_bundle(tmp_path / "bundle")
    found = FeatureNetwork(bundle, engine="openvino")
    assert found.explainable
    assert_same(found, bundle, network, (network.pool, network.out))


def network_of(bundle: Bundle) -> nn.Layer:
    """Return the default bundle's network, built anew with the weights of its files."""
    narrow = MobileNetV2(padding="bottom-right")
    expansion = narrow.conv2._first_block._expand_conv._conv
    expansion.weight.set_value(np.eye(32, dtype=np.float32)[:, :, None, None])
    lean = folded(narrow)
    loaded = paddle.jit.load(str(bundle.graph.with_suffix(""))).parameters()

    def key(name: str) -> tuple[str, int]:
        """Only the order of the biases says to which layer they belong."""
        bias = re.match(r"create_parameter_(\d+)", name)
        return ("bias", int(bias[1])) if bias else (name.partition("_deepcopy")[0], 0)

    theirs = sorted(loaded, key=lambda parameter: key(parameter.name))
    ours = sorted(lean.parameters(), key=lambda parameter: key(parameter.name))
    for parameter, value in zip(ours, theirs, strict=True):
        parameter.set_value(value.numpy())
    return lean


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["paddle", "onnxruntime"])
def test_the_default_bundle_explains_real_photos(
    default_bundle: Path, tmp_path: Path, engine: EngineName
) -> None:
    bundle = load_bundle(default_bundle)
    if engine == "onnxruntime":
        bundle = with_onnx(default_bundle, tmp_path / "bundle")
    names = ("chelsea.png", "coffee.png", "rocket.jpg")
    photos = [decode((PHOTOS / name).read_bytes(), bundle.preprocessing, 10**8) for name in names]
    images = np.stack([photo.pixels for photo in photos])
    network = network_of(bundle)
    found = FeatureNetwork(bundle, engine=engine)
    features = own_features(network, network.pool, bundle, images)
    best = Engine(bundle).infer(images).argmax(1)
    own = own_maps(features, network.out)
    for row, class_id in enumerate(best):
        activation = found.activation_map(found(images), row, int(class_id))
        assert activation.values.shape == (7, 7)
        np.testing.assert_allclose(activation.values, own[row, class_id], atol=1e-4)
    np.testing.assert_allclose(found(images).vectors, features.mean((2, 3)), atol=1e-4)


class Headed(nn.Layer):
    """A small network with a head of its own behind one convolution."""

    def __init__(self, head: nn.Layer) -> None:
        super().__init__()
        self.convolution = nn.Conv2D(3, 16, 3, stride=2)
        self.head = head

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """Map (N, 3, H, W) to (N, 3)."""
        y: paddle.Tensor = self.head(nn.functional.relu(self.convolution(x)))
        return y


class Mean(nn.Layer):
    """Global average pooling written as a mean, as some networks have it."""

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return x.mean([2, 3])


def pooled(pooling: nn.Layer, *between: nn.Layer) -> nn.Layer:
    return Headed(nn.Sequential(pooling, *between, nn.Flatten(), nn.Linear(16, 3)))


def exported(network: nn.Layer, directory: Path) -> Bundle:
    randomise(network)
    export(network, small_card(), directory)
    return load_bundle(directory)


@pytest.mark.parametrize(
    "build",
    [
        lambda: pooled(nn.AdaptiveAvgPool2D(1)),
        lambda: pooled(nn.AdaptiveAvgPool2D(1), nn.Dropout(0.3)),
        lambda: Headed(nn.Sequential(Mean(), nn.Linear(16, 3))),
        colour_network,
        lambda: models.resnet18(num_classes=3),
        lambda: models.densenet121(num_classes=3),
        lambda: models.shufflenet_v2_x0_25(num_classes=3),
    ],
    ids=["pooling", "dropout", "mean", "colours", "resnet", "densenet", "shufflenet"],
)
def test_other_networks_with_such_an_end_are_explained(build: type, tmp_path: Path) -> None:
    bundle = exported(build(), tmp_path / "bundle")
    found = FeatureNetwork(bundle)
    features = found(IMAGES)
    sums = maps(found, IMAGES, 3).mean((2, 3))  # (3, 3)
    scores = np.exp(sums + [found.activation_map(features, 0, c).bias for c in range(3)])
    scores /= scores.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(scores, Engine(bundle).infer(IMAGES), atol=1e-4)


@pytest.mark.parametrize(
    ("build", "length"),
    [
        # PaddleClas's PPLCNet and MobileNetV3 have such layers between pooling and classifier.
        (lambda: pooled(nn.AdaptiveAvgPool2D(1), nn.Conv2D(16, 16, 1), nn.Hardswish()), 16),
        (lambda: pooled(nn.AdaptiveMaxPool2D(1)), 16),
        (lambda: models.mobilenet_v3_small(num_classes=3), 1024),
        (linear_network, 3 * 64 * 64),
    ],
    ids=["layers between", "max pooling", "mobilenetv3", "no pooling"],
)
def test_where_a_map_is_not_exact_there_is_none(build: type, length: int, tmp_path: Path) -> None:
    bundle = exported(build(), tmp_path / "bundle")
    found = FeatureNetwork(bundle)
    features = found(IMAGES)
    assert not found.explainable
    with pytest.raises(NotExplainable, match="No map would be exact"):
        found.activation_map(features, 0, 0)
    # The vector is there all the same.
    assert features.vectors.shape == (3, length)
    assert paddle_graph.vector_length(bundle.graph) == length
    np.testing.assert_allclose(features.scores, Engine(bundle).infer(IMAGES), atol=1e-5)


class Convolutional(nn.Layer):
    """A network whose classifier is a convolution in front of the pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2D(3, 3, 3)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """Map (N, 3, H, W) to (N, 3)."""
        y: paddle.Tensor = self.convolution(x).mean([2, 3])
        return y


@pytest.mark.parametrize("build", [Convolutional, Dazzled])
def test_without_a_linear_classifier_there_is_nothing(build: type, tmp_path: Path) -> None:
    network = build()
    if build is Convolutional:
        randomise(network)
    export(network, small_card(), tmp_path / "bundle")
    bundle = load_bundle(tmp_path / "bundle")
    with pytest.raises(NoFeatures):
        FeatureNetwork(bundle)
    assert paddle_graph.vector_length(bundle.graph) is None


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'{"program": {"regions": []}}', b"\xff"])
@pytest.mark.parametrize("name", ["inference.json", "inference.pdmodel"])
def test_a_graph_of_another_form_has_no_vector(tmp_path: Path, content: bytes, name: str) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    assert paddle_graph.vector_length(file) is None


@pytest.mark.parametrize("content", [b"", b"\xff", b"\x3a\x7f", b"\x3a\x00"])
def test_an_onnx_file_of_another_form_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / ONNX
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"."):
        onnx_graph.read(file)


def test_the_bundles_own_graph_keeps_its_one_output(small_bundle: Path) -> None:
    """Who does not ask pays nothing, and other readers find what they expect."""
    before = {file.name: file.read_bytes() for file in small_bundle.iterdir()}
    FeatureNetwork(load_bundle(small_bundle))
    assert {file.name: file.read_bytes() for file in small_bundle.iterdir()} == before
    fetches = re.findall(r'"#": *"[^"]*fetch"', (small_bundle / "inference.json").read_text())
    assert len(fetches) == 1


def test_scores_with_a_threshold_are_the_networks_own(tmp_path: Path) -> None:
    several = {"MultiLabelThreshOutput": {"threshold": 0.5}}
    network = small_network()
    bundle = load_bundle(export_sigmoid(network, tmp_path / "bundle", PostProcess=several))
    found = FeatureNetwork(bundle)
    features = found(IMAGES)
    np.testing.assert_allclose(features.scores, Engine(bundle).infer(IMAGES), atol=1e-5)
    with paddle.no_grad():
        logits = network(paddle.to_tensor(bundle.preprocessing.normalized(IMAGES))).numpy()
    np.testing.assert_allclose(features.scores, 1 / (1 + np.exp(-logits)), atol=1e-4)
    activation = found.activation_map(features, 0, 1)
    assert activation.values.mean() + activation.bias == pytest.approx(logits[0, 1], abs=1e-3)
