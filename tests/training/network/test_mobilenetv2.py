"""The network is compared with paddle.vision's own MobileNetV2, and with itself rotated."""

import re

import numpy as np
import paddle
import pytest
from networks import randomise
from paddle import Tensor, nn
from paddle.nn import functional as F  # noqa: N812  (this short name is common)
from paddle.vision.models import mobilenet_v2

from app.training.network.mobilenetv2 import OFFICIAL_SCALES, MobileNetV2

IDENTITY = "conv2._first_block._expand_conv"


@pytest.fixture(scope="module")
def image() -> Tensor:
    return paddle.to_tensor(np.random.default_rng(1).normal(size=(2, 3, 96, 96)).astype("float32"))


def make_identity(network: MobileNetV2) -> None:
    """Set the weights of the expansion that only our network has, so that it changes nothing.

    The input of the expansion lies in [0, 6].
    """
    state = network.state_dict()
    channels = state[f"{IDENTITY}._conv.weight"].shape[0]
    state[f"{IDENTITY}._conv.weight"].set_value(np.eye(channels, dtype="float32")[..., None, None])
    state[f"{IDENTITY}._batch_norm.weight"].set_value(np.ones(channels, "float32"))
    state[f"{IDENTITY}._batch_norm.bias"].set_value(np.zeros(channels, "float32"))
    state[f"{IDENTITY}._batch_norm._mean"].set_value(np.zeros(channels, "float32"))
    # Paddle's batch normalisation adds this epsilon to the variance.
    epsilon = 1e-5
    state[f"{IDENTITY}._batch_norm._variance"].set_value(np.full(channels, 1 - epsilon, "float32"))


def trainable(network: nn.Layer) -> int:
    return sum(int(np.prod(p.shape)) for p in network.parameters() if not p.stop_gradient)


def largest_difference(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max())


def test_gives_the_logits_of_paddle_vision(image: Tensor) -> None:
    ours, theirs = MobileNetV2(), mobilenet_v2()
    randomise(ours)
    make_identity(ours)
    values = [value for key, value in ours.state_dict().items() if not key.startswith(IDENTITY)]
    for target, value in zip(theirs.state_dict().values(), values, strict=True):
        target.set_value(value)
    theirs.eval()
    # In float32, the order of a processor's additions changes the logits by up to 1e-4.
    ours.to(dtype="float64")
    theirs.to(dtype="float64")
    image = image.astype("float64")

    logits = ours(image)

    # The logits are far larger than the tolerance, and differ between the two images.
    assert float(logits.std()) > 1
    assert largest_difference(logits[0], logits[1]) > 0.1
    assert largest_difference(logits, theirs(image)) < 1e-5


def test_has_the_papers_parameters_and_one_expansion_more() -> None:
    convolution, scale_and_offset = 32 * 32, 2 * 32
    expansion = convolution + scale_and_offset
    assert trainable(mobilenet_v2()) == 3_504_872
    assert trainable(MobileNetV2()) == 3_504_872 + expansion


def test_stages_have_the_shapes_of_table_2() -> None:
    network = MobileNetV2(class_num=17)
    shapes: dict[str, list[int]] = {}

    def record(layer: nn.Layer, _: Tensor, output: Tensor) -> Tensor:
        shapes[names[id(layer)]] = output.shape[1:]
        return output

    names = {id(layer): name for name, layer in network.named_children()}
    for layer in network.children():
        layer.register_forward_post_hook(record)
    network.eval()
    network(paddle.zeros([1, 3, 224, 224]))

    assert shapes == {
        "conv1": [32, 112, 112],
        "conv2": [16, 112, 112],
        "conv3": [24, 56, 56],
        "conv4": [32, 28, 28],
        "conv5": [64, 14, 14],
        "conv6": [96, 14, 14],
        "conv7": [160, 7, 7],
        "conv8": [320, 7, 7],
        "conv9": [1280, 7, 7],
        "pool": [1280, 1, 1],
        "out": [17],
    }


@pytest.mark.parametrize("scale", OFFICIAL_SCALES)
def test_widths_are_cut_off_not_rounded(scale: float) -> None:
    network = MobileNetV2(class_num=3, scale=scale)
    state = network.state_dict()

    stages = [state[f"conv{i}._first_block._linear_conv._conv.weight"] for i in range(2, 9)]
    channels = (16, 24, 32, 64, 96, 160, 320)
    assert [weight.shape[0] for weight in stages] == [int(c * scale) for c in channels]
    assert state["conv1._conv.weight"].shape == [int(32 * scale), 3, 3, 3]
    assert state["out.weight"].shape == [{1.5: 1920, 2.0: 2560}.get(scale, 1280), 3]
    assert network.feature_size == state["out.weight"].shape[0]


def test_logits_are_the_classifier_on_the_features(image: Tensor) -> None:
    network = MobileNetV2(class_num=5, scale=0.25)
    randomise(network)
    features = network.features(image)
    assert features.shape == [2, 1280]
    assert largest_difference(network(image), network.out(features)) == 0


def test_bottom_right_pads_only_there(image: Tensor) -> None:
    network = MobileNetV2(class_num=5, scale=0.25, padding="bottom-right")
    convolution = network.conv1._conv
    left, right, top, bottom = 0, 1, 0, 1
    padded = F.pad(image, [left, right, top, bottom])
    explicit = F.conv2d(padded, convolution.weight, stride=2)
    assert convolution(image).shape == [2, 8, 48, 48]
    assert largest_difference(convolution(image), explicit) < 1e-6


def test_bottom_right_is_symmetric_turned_by_180_degrees(image: Tensor) -> None:
    """The whole network passes only if all convolutions with stride 2, and no others, differ."""
    bottom_right = MobileNetV2(class_num=5, scale=0.25, padding="bottom-right")
    symmetric = MobileNetV2(class_num=5, scale=0.25)
    randomise(bottom_right)
    symmetric.set_state_dict(bottom_right.state_dict())
    symmetric.eval()
    # In float32, another order of summation changes the logits by 5e-5.
    image = image.astype("float64")
    for network in (bottom_right, symmetric):
        network.to(dtype="float64")
    expected = bottom_right(image)
    assert largest_difference(symmetric(image), expected) > 0.1

    for value in symmetric.state_dict().values():
        if value.ndim == 4:
            value.set_value(value.flip([2, 3]))
    assert largest_difference(symmetric(image.flip([2, 3])), expected) < 1e-10


def test_keys_and_names_are_those_of_paddleclas() -> None:
    names = {key: value.name for key, value in MobileNetV2().state_dict().items()}

    block = "conv5.conv5_4"
    assert names["conv1._conv.weight"] == "conv1_1_weights"
    assert names["conv2._first_block._expand_conv._batch_norm.weight"] == "conv2_1_expand_bn_scale"
    assert names[f"{block}._bottleneck_conv._conv.weight"] == "conv5_4_dwise_weights"
    assert names[f"{block}._linear_conv._batch_norm.bias"] == "conv5_4_linear_bn_offset"
    assert names[f"{block}._linear_conv._batch_norm._mean"] == "conv5_4_linear_bn_mean"
    assert names["conv9._batch_norm._variance"] == "conv9_bn_variance"
    assert (names["out.weight"], names["out.bias"]) == ("fc10_weights", "fc10_offset")
    # There are 53 convolutions with 5 tensors each, including their normalisation, and the
    # classifier has 2 tensors.
    assert len(names) == len(set(names.values())) == 53 * 5 + 2
    assert not [key for key in names if re.search(r"pool|stages|others", key)]


def test_prefix_stands_where_paddleclas_puts_it() -> None:
    names = {key: value.name for key, value in MobileNetV2(3, 0.25, "a_").state_dict().items()}
    assert names["conv1._conv.weight"] == "a_conv1_1_weights"
    assert names["a_conv3.a_conv3_2._expand_conv._conv.weight"] == "a_conv3_2_expand_weights"
    assert names["out.bias"] == "a_fc10_offset"
    assert all(name.startswith("a_") for name in names.values())


def test_two_networks_in_one_process_have_the_same_keys_and_their_own_values() -> None:
    first, second = MobileNetV2(3, 0.25), MobileNetV2(3, 0.25)
    before = first.out.bias.numpy().copy()

    second.out.bias.set_value(before + 1)

    first_names = [(key, value.name) for key, value in first.state_dict().items()]
    second_names = [(key, value.name) for key, value in second.state_dict().items()]
    assert first_names == second_names
    assert np.array_equal(first.out.bias.numpy(), before)
