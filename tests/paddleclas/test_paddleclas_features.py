"""Which of PaddleClas's networks have exact maps, and that these are the network's own.

The file is not named test_features.py because mypy refuses a second module of that name.
"""

from pathlib import Path

import numpy as np
import paddle
import pytest
from networks import randomise, small_card
from paddle import nn
from paddle.utils import unique_name
from paddleclas.ppcls.arch import backbone

from app.errors import NotExplainable
from app.model.bundle import Bundle, load_bundle
from app.model.features import FeatureNetwork
from app.training.network.export import export

IMAGES = np.random.default_rng(1).integers(0, 256, (2, 64, 64, 3), np.uint8)


def exported(name: str, directory: Path) -> tuple[nn.Layer, Bundle]:
    # Without the guard, PaddleClas can build some networks only once per process.
    with unique_name.guard():
        network: nn.Layer = getattr(backbone, name)(class_num=3)
    randomise(network)
    export(network, small_card(), directory)
    return network, load_bundle(directory)


EXACT = (
    "MobileNetV1_x0_25",
    "MobileNetV2_x0_25",
    "ResNet18",
    "ResNet18_vd",
    "ResNet50",
    "DenseNet121",
    "ShuffleNetV2_x0_25",
    "Xception41",
)
INEXACT = (
    "PPLCNet_x0_25",
    "PPLCNetV2_base",
    "PPHGNet_tiny",
    "MobileNetV3_small_x0_35",
    "GhostNet_x0_5",
)


@pytest.mark.parametrize("name", EXACT)
def test_maps_add_up_to_the_networks_own_logits(name: str, tmp_path: Path) -> None:
    network, bundle = exported(name, tmp_path / "bundle")
    with paddle.no_grad():
        logits = network(paddle.to_tensor(bundle.preprocessing.normalized(IMAGES))).numpy()
    found = FeatureNetwork(bundle)
    features = found(IMAGES)
    for row, class_id in np.ndindex(logits.shape):
        activation = found.activation_map(features, row, class_id)
        sum_ = activation.values.mean() + activation.bias
        assert sum_ == pytest.approx(logits[row, class_id], rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("name", INEXACT)
def test_with_layers_between_pooling_and_classifier_there_is_no_map(
    name: str, tmp_path: Path
) -> None:
    _, bundle = exported(name, tmp_path / "bundle")
    found = FeatureNetwork(bundle)
    features = found(IMAGES)
    assert features.vectors.shape[0] == len(IMAGES)
    with pytest.raises(NotExplainable):
        found.activation_map(features, 0, 0)
