"""Which of PaddleClas's networks OpenVINO runs, and that it gives the network's own answers.

The file is not named test_openvino.py because mypy refuses a second module of that name.
"""

from pathlib import Path

import numpy as np
import paddle
import pytest
from networks import SIDE, randomise, small_card, transform_ops
from paddle import nn
from paddle.utils import unique_name
from paddleclas.ppcls.arch import backbone

from app.errors import StartupError
from app.model.bundle import load_bundle
from app.model.engine import Engine
from app.training.network.export import export
from app.training.network.openvino import add_openvino

NETWORKS = (
    "DenseNet121",
    "EfficientNetB0",
    "GhostNet_x0_5",
    "MobileNetV1_x0_25",
    "MobileNetV2_x0_25",
    "MobileNetV2_x0_5",
    "MobileNetV2_x0_75",
    "MobileNetV2",
    "MobileNetV2_x1_5",
    "MobileNetV2_x2_0",
    "MobileNetV3_small_x0_35",
    "PPHGNetV2_B0",
    "PPHGNet_tiny",
    "PPLCNetV2_base",
    "PPLCNet_x0_25",
    "ResNet18",
    "ResNet18_vd",
    "ResNet50",
    "ShuffleNetV2_x0_25",
    "Xception41",
)
# These take only photos of this size.
TRANSFORMERS = ("ViT_small_patch16_224", "DeiT_tiny_patch16_224")


def exported(name: str, side: int, directory: Path) -> nn.Layer:
    # Without the guard, PaddleClas can build some networks only once per process.
    with unique_name.guard():
        network: nn.Layer = getattr(backbone, name)(class_num=3)
    if side == SIDE:
        # The weights that PaddleClas draws for the others give different scores already.
        randomise(network)
    ops = transform_ops({"resize_short": side}, side)
    export(network, small_card(ops), directory)
    return network


@pytest.mark.parametrize(
    ("name", "side"),
    [*((name, SIDE) for name in NETWORKS), *((name, 224) for name in TRANSFORMERS)],
)
def test_its_answers_are_those_of_the_network(name: str, side: int, tmp_path: Path) -> None:
    network = exported(name, side, tmp_path / "bundle")
    # This compares the answers with Paddle's already.
    add_openvino(tmp_path / "bundle")
    bundle = load_bundle(tmp_path / "bundle")
    images = np.random.default_rng(1).integers(0, 256, (2, side, side, 3), np.uint8)
    with paddle.no_grad():
        logits = network(paddle.to_tensor(bundle.preprocessing.normalized(images)))
        expected = nn.functional.softmax(logits).numpy()
    np.testing.assert_allclose(Engine(bundle, engine="openvino").infer(images), expected, atol=1e-4)


def test_swin_transformer_is_refused_in_one_line(tmp_path: Path) -> None:
    name = "SwinTransformer_tiny_patch4_window7_224"
    exported(name, 224, tmp_path / "bundle")
    with pytest.raises(StartupError, match=r"the operation \w+ has no translation"):
        add_openvino(tmp_path / "bundle")
