"""Our network compared with PaddleClas's own. `make paddleclas` runs these tests.

pyproject.toml excludes this folder in `norecursedirs`. The folder must not become a package,
because it has the name of the library that its tests import.
"""

from pathlib import Path

import numpy as np
import paddle
import pytest
from networks import randomise
from paddle import nn
from paddle.utils import unique_name
from paddleclas.ppcls.arch.backbone.model_zoo import mobilenet_v2 as reference

from app.training.network.mobilenetv2 import OFFICIAL_SCALES, MobileNetV2

BUILDERS = {
    0.25: reference.MobileNetV2_x0_25,
    0.5: reference.MobileNetV2_x0_5,
    0.75: reference.MobileNetV2_x0_75,
    1.0: reference.MobileNetV2,
    1.5: reference.MobileNetV2_x1_5,
    2.0: reference.MobileNetV2_x2_0,
}
IMAGES = np.random.default_rng(1).normal(size=(2, 3, 96, 96)).astype("float32")

each_scale = pytest.mark.parametrize("scale", OFFICIAL_SCALES)


def build_reference(scale: float, prefix_name: str = "") -> nn.Layer:
    # Without the guard, PaddleClas can build only one network per process.
    with unique_name.guard():
        network: nn.Layer = BUILDERS[scale](prefix_name=prefix_name)
    return network


def description(network: nn.Layer) -> list[tuple[str, str, list[int], bool]]:
    return [
        (key, value.name, list(value.shape), value.stop_gradient)
        for key, value in network.state_dict().items()
    ]


def logits(network: nn.Layer) -> np.ndarray:
    network.eval()
    with paddle.no_grad():
        answer: np.ndarray = network(paddle.to_tensor(IMAGES)).numpy()  # (2, 1000)
    return answer


def load(source: nn.Layer, target: nn.Layer, path: Path) -> None:
    paddle.save(source.state_dict(), str(path))
    missing, unexpected = target.set_state_dict(paddle.load(str(path)))
    assert (missing, unexpected) == ([], [])


def test_covers_every_official_width() -> None:
    assert set(BUILDERS) == set(OFFICIAL_SCALES)
    assert len(reference.MODEL_URLS) == len(OFFICIAL_SCALES)


@each_scale
def test_keys_names_shapes_and_trainability_are_equal(scale: float) -> None:
    assert description(MobileNetV2(scale=scale)) == description(build_reference(scale))


def test_prefixed_names_are_equal() -> None:
    ours = MobileNetV2(scale=0.25, prefix_name="a_")
    assert description(ours) == description(build_reference(0.25, prefix_name="a_"))


@each_scale
def test_their_weights_give_their_logits_in_our_network(scale: float, tmp_path: Path) -> None:
    theirs, ours = build_reference(scale), MobileNetV2(scale=scale)
    randomise(theirs)
    load(theirs, ours, tmp_path / "theirs.pdparams")

    expected = logits(theirs)
    # Only with logits of this spread is the tolerance below a strict one.
    assert expected.std() > 1
    assert np.abs(logits(ours) - expected).max() < 1e-5


@each_scale
def test_our_weights_give_our_logits_in_their_network(scale: float, tmp_path: Path) -> None:
    theirs, ours = build_reference(scale), MobileNetV2(scale=scale)
    randomise(ours)
    load(ours, theirs, tmp_path / "ours.pdparams")

    expected = logits(ours)
    assert expected.std() > 1
    assert np.abs(logits(theirs) - expected).max() < 1e-5
