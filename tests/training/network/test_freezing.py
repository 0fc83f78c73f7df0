"""The trunk followed by the tail gives the same logits as the whole network."""

import numpy as np
import paddle
import pytest
from networks import LABELS, SIDE, randomise, small_network, transform_ops
from paddle.nn import functional as F  # noqa: N812  (this short name is common)

from app.model.transform_ops import read_transform_ops
from app.training.network.freezing import SEGMENTS, quick_tail, segments, tail, trunk
from app.training.network.mobilenetv2 import MobileNetV2, Padding

SPEC = read_transform_ops(transform_ops())
COLOURS = np.random.default_rng(1).integers(0, 256, (6, SIDE // 16, SIDE // 16, 3), np.uint8)
IMAGES = COLOURS.repeat(16, axis=1).repeat(16, axis=2)  # (6, SIDE, SIDE, 3)


@pytest.mark.slow
@pytest.mark.parametrize("frozen", [0, 1, 2, 17, SEGMENTS])
def test_trunk_and_tail_are_the_network(frozen: int) -> None:
    network = small_network()
    inner = trunk(network, frozen, SPEC, "cpu", 1)(IMAGES)
    assert inner.ndim == (2 if frozen == SEGMENTS else 4)
    with paddle.no_grad():
        logits = tail(network, frozen)(paddle.to_tensor(inner)).numpy()
        expected = network(paddle.to_tensor(SPEC.normalized(IMAGES))).numpy()
    assert np.ptp(expected, axis=0).max() > 0.1
    np.testing.assert_allclose(logits, expected, atol=1e-3)


def test_the_tail_learns_with_the_networks_own_parameters() -> None:
    network = small_network()
    own = {id(value) for value in network.state_dict().values()}
    whole, classifier = tail(network, 0), tail(network, SEGMENTS)
    assert {id(value) for value in whole.state_dict().values()} == own
    assert [id(p) for p in classifier.parameters()] == [id(p) for p in network.out.parameters()]
    assert len(segments(network)) == SEGMENTS


@pytest.mark.parametrize("padding", ["symmetric", "bottom-right"])
@pytest.mark.parametrize(("frozen", "side"), [(13, 4), (14, 6), (17, 2), (SEGMENTS, 1)])
def test_the_quick_tail_gives_the_same_logits_and_gradients(
    frozen: int, side: int, padding: Padding
) -> None:
    network = MobileNetV2(len(LABELS), 0.25, padding=padding)
    randomise(network)
    plain, quick = tail(network, frozen), quick_tail(network, frozen)
    plain.eval()
    channels = {13: 24, 14: 24, 17: 40, SEGMENTS: 1280}[frozen]
    shape = (3, channels) if frozen == SEGMENTS else (3, channels, side, side)
    x = paddle.to_tensor(np.random.default_rng(0).normal(0, 1, shape).astype("float32"))
    learning = [p for p in plain.parameters() if not p.stop_gradient]
    found = []
    for run in (plain, quick):
        F.cross_entropy(run(x), paddle.to_tensor([0, 1, 2])).backward()
        found.append([run(x).numpy(), *(p.grad.numpy() for p in learning if p.grad is not None)])
        for parameter in learning:
            parameter.clear_gradient()
    assert np.ptp(found[0][0]) > 0.1
    for expected, got in zip(*found, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4 * abs(expected).max())
