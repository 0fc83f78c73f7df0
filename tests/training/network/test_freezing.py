"""The trunk followed by the tail gives the same logits as the whole network."""

import numpy as np
import paddle
import pytest
from networks import SIDE, small_network, transform_ops

from app.model.transform_ops import read_transform_ops
from app.training.network.freezing import SEGMENTS, segments, tail, trunk

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
