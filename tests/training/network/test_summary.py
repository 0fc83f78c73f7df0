"""The costs are compared with numbers worked out by hand, and with published numbers."""

import io

import pytest
from paddle import nn
from paddle.vision.models import mobilenet_v2
from rich.console import Console

from app.training.network.mobilenetv2 import MobileNetV2
from app.training.network.summary import Cost, costs, multiply_adds, print_summary


def test_multiply_adds_of_the_example() -> None:
    standard = multiply_adds((56, 56), 16, 32, kernel=3)
    separable = multiply_adds((56, 56), 16, 32, kernel=3, separable=True)
    assert (standard, separable) == (14_450_688, 2_057_216)


@pytest.mark.parametrize("separable", [False, True])
def test_measured_costs_are_the_formulas(separable: bool) -> None:
    standard = nn.Conv2D(16, 32, 3, stride=2, padding=1)
    depthwise = nn.Conv2D(16, 16, 3, stride=2, padding=1, groups=16)
    network = nn.Sequential(depthwise, nn.Conv2D(16, 32, 1)) if separable else standard
    with_input = nn.Sequential(nn.Conv2D(3, 16, 1, bias_attr=False), network)

    total, first, *_ = costs(with_input, 112)

    formula = multiply_adds((56, 56), 16, 32, separable=separable)
    assert first == Cost("0", (16, 112, 112), 3 * 16, 3 * 16 * 112 * 112)
    assert total.output == (32, 56, 56)
    assert total.multiply_adds - first.multiply_adds == formula


def test_the_papers_network_costs_what_the_paper_says() -> None:
    total = costs(mobilenet_v2(), 224)[0]
    assert total.name == ""
    assert total.output == (1000,)
    assert total.parameters == 3_504_872
    # Table 4 of the paper says "300M".
    assert total.multiply_adds == pytest.approx(300e6, rel=0.005)


def test_ours_costs_one_expansion_more() -> None:
    ours, theirs = costs(MobileNetV2(), 224)[0], costs(mobilenet_v2(), 224)[0]
    assert ours.parameters - theirs.parameters == 32 * 32 + 2 * 32
    assert ours.multiply_adds - theirs.multiply_adds == multiply_adds((112, 112), 32, 32, kernel=1)


def test_frozen_layers_have_no_trainable_parameters() -> None:
    network = MobileNetV2(class_num=5, scale=0.25)
    for parameter in network.conv1.parameters():
        parameter.stop_gradient = True
    by_name = {cost.name: cost for cost in costs(network, 32)}
    assert by_name["conv1"].parameters == 0
    assert by_name["out"].parameters == 1280 * 5 + 5


def test_leaves_the_network_as_it_was() -> None:
    network = MobileNetV2(class_num=5, scale=0.25)
    # Fine-tuning keeps the frozen part in eval mode.
    network.conv1.eval()
    before = {key: value.numpy().copy() for key, value in network.state_dict().items()}

    costs(network, 32)

    assert network.training
    assert network.conv9.training
    assert not network.conv1.training
    assert not network.conv1._conv.training
    assert all((value.numpy() == before[key]).all() for key, value in network.state_dict().items())
    assert not any(layer._forward_post_hooks for layer in network.sublayers(include_self=True))


def test_prints_a_row_a_block_with_totals() -> None:
    text = io.StringIO()
    print_summary(1.0, 1000, 224, Console(file=text, width=80))
    rows = [line.split() for line in text.getvalue().splitlines()]

    assert ["conv1", "conv", "3x3", "32", "2", "32x112x112", "928", "10,838,016"] in rows
    assert ["conv4_2", "bottleneck", "6", "32", "1", "32x28x28", "14,848", "10,988,544"] in rows
    assert ["conv7_1", "bottleneck", "6", "160", "2", "160x7x7", "155,264", "15,607,872"] in rows
    assert ["out", "linear", "1000", "1000", "1,281,000", "1,280,000"] in rows
    assert ["Total", "3,505,960", "313,619,328"] in rows
    blocks = [row for row in rows if row[1:2] == ["bottleneck"]]
    assert len(blocks) == 17
    # The rows add up to the whole network, so no layer is left out or counted twice.
    numbers = [row for row in rows if row and row[0][:4] in {"conv", "pool", "out"}]
    assert sum(int(row[-2].replace(",", "")) for row in numbers) == 3_505_960
    assert sum(int(row[-1].replace(",", "")) for row in numbers) == 313_619_328
    assert max(map(len, text.getvalue().splitlines())) <= 80
