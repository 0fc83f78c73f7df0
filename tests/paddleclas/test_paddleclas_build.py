"""`weights build paddleclas:NETWORK` with PaddleClas installed.

The file is not named test_build.py because mypy refuses a second module of that name.
"""

from pathlib import Path

import numpy as np
import paddle
import pytest
from networks import LABELS, randomise
from paddle import nn
from paddleclas.ppcls.arch import backbone

from app.errors import StartupError
from app.model.bundle import load_bundle
from app.model.engine import Engine
from app.training.weights.build import build_paddleclas

NETWORK = "MobileNetV3_small_x0_35"


@pytest.fixture
def network() -> nn.Layer:
    layer: nn.Layer = getattr(backbone, NETWORK)(class_num=3)
    randomise(layer)
    return layer


@pytest.fixture
def params(network: nn.Layer, tmp_path: Path) -> Path:
    file = tmp_path / "params.pdparams"
    paddle.save(network.state_dict(), str(file))
    return file


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    file = tmp_path / "labels.txt"
    file.write_text("\n".join(LABELS), "utf-8")
    return file


def test_any_network_becomes_a_bundle_that_answers_as_it(
    network: nn.Layer, params: Path, labels: Path, tmp_path: Path
) -> None:
    bundle = load_bundle(build_paddleclas(NETWORK, params, labels, tmp_path / "bundle"))
    assert (bundle.name, bundle.labels) == (NETWORK, LABELS)

    black = np.zeros((1, 224, 224, 3), np.uint8)
    x = -np.array([0.485, 0.456, 0.406]) / np.array([0.229, 0.224, 0.225])
    with paddle.no_grad():
        image = paddle.to_tensor(x, "float32").reshape([1, 3, 1, 1]).expand([1, 3, 224, 224])
        expected = nn.functional.softmax(network(image)).numpy()
    assert np.ptp(expected) > 0.01
    np.testing.assert_allclose(Engine(bundle).infer(black), expected, atol=1e-4)


@pytest.mark.parametrize("name", ["NoSuchNet", "sys", "MODEL_URLS"])
def test_an_unknown_network_is_one_line(name: str, params: Path, labels: Path) -> None:
    with pytest.raises(StartupError, match=f"^PaddleClas has no network '{name}'$"):
        build_paddleclas(name, params, labels)


def test_parameters_of_another_network_are_one_line(params: Path, labels: Path) -> None:
    with pytest.raises(StartupError, match="does not fit the network") as caught:
        build_paddleclas("MobileNetV3_small_x0_5", params, labels)
    assert "\n" not in str(caught.value)


def test_parameters_for_other_labels_are_one_line(params: Path) -> None:
    with pytest.raises(StartupError, match="does not fit the network"):
        build_paddleclas(NETWORK, params)
