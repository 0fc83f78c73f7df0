"""Graphs in ONNX of other forms than those that this project writes, with 8 bits."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from app.errors import StartupError

onnx = pytest.importorskip("onnx", reason="paddle2onnx has no wheel for this Python")
onnxruntime = pytest.importorskip("onnxruntime")

from app.training.quantization.onnx_network import quantized  # noqa: E402

Floats = npt.NDArray[np.float32]
RNG = np.random.default_rng(0)
PHOTOS: list[Floats] = [RNG.normal(size=(1, 4, 9, 9)).astype(np.float32) for _ in range(8)]
DENSE = RNG.normal(size=(6, 4, 3, 3)).astype(np.float32)
BIAS = RNG.normal(size=6).astype(np.float32)


def node(operation: str, inputs: Sequence[str], output: str, **attributes: Any) -> Any:  # noqa: ANN401
    return onnx.helper.make_node(operation, inputs, [output], name=output, **attributes)


def written(
    folder: Path,
    nodes: Sequence[Any],
    constants: dict[str, Floats],
    outputs: Sequence[str] = ("y",),
    opset: int = 17,
) -> Path:
    """Write a graph whose input `x` has 4 channels."""
    shape = [None, None, None, None]
    values = [onnx.helper.make_tensor_value_info(name, 1, shape) for name in outputs]
    given = onnx.helper.make_tensor_value_info("x", 1, [None, 4, 9, 9])
    tensors = [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = onnx.helper.make_graph(nodes, "graph", [given], values, tensors)
    opsets = [onnx.helper.make_opsetid("", opset)]
    file = folder / "network.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8), file)
    return file


def run(model: bytes | Path, photo: Floats) -> list[Floats]:
    return list(onnxruntime.InferenceSession(model).run(None, {"x": photo}))


def difference(file: Path) -> float:
    """Return the largest difference of 8 bits from float32, as a share of the spread."""
    model = quantized(file, PHOTOS).SerializeToString()
    shares = []
    for photo in PHOTOS:
        for exact, value in zip(run(file, photo), run(model, photo), strict=True):
            shares.append(float(np.abs(value - exact).max() / exact.std()))
    return max(shares)


def integer_weights(file: Path) -> int:
    """Return how many convolutions have weights of 8 bits."""
    nodes = quantized(file, PHOTOS).graph.node
    return sum(one.op_type == "Conv" and one.input[1].endswith(".weights") for one in nodes)


def test_an_activation_that_is_an_output_stays(tmp_path: Path) -> None:
    nodes = [node("Conv", ["x", "w"], "c", pads=[1, 1, 1, 1]), node("Relu", ["c"], "y")]
    file = written(tmp_path, nodes, {"w": DENSE})
    values = [run(quantized(file, PHOTOS).SerializeToString(), photo)[0] for photo in PHOTOS]
    assert min(value.min() for value in values) == 0
    assert difference(file) < 0.1


def test_a_value_with_several_readers_is_the_same_for_each(tmp_path: Path) -> None:
    nodes = [
        node("Conv", ["x", "w", "b"], "c"),
        node("Relu", ["c"], "r"),
        node("Conv", ["r", "v"], "d"),
        node("Add", ["c", "d"], "y"),
    ]
    last = RNG.normal(size=(6, 6, 1, 1)).astype(np.float32)
    file = written(tmp_path, nodes, {"w": DENSE, "b": BIAS, "v": last}, ("y", "r"))
    assert integer_weights(file) == 2
    assert difference(file) < 0.1


def test_strides_dilations_and_uneven_pads_are_kept(tmp_path: Path) -> None:
    form = {"strides": [2, 1], "dilations": [1, 2], "pads": [0, 1, 2, 0]}
    nodes = [node("Conv", ["x", "w", "b"], "y", **form)]
    assert difference(written(tmp_path, nodes, {"w": DENSE, "b": BIAS})) < 0.1


def test_a_network_without_such_convolutions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="has no convolution for 8 bits"):
        quantized(written(tmp_path, [node("Relu", ["x"], "y")], {}), PHOTOS)


def test_filters_of_next_to_nothing_give_their_bias(tmp_path: Path) -> None:
    weights = DENSE.copy()
    weights[0], weights[1] = 1e-44, 1e-12
    bias = np.array([3, 1e6, 0, 0, 0, 0], np.float32)
    file = written(tmp_path, [node("Conv", ["x", "w", "b"], "y")], {"w": weights, "b": bias})
    made = quantized(file, PHOTOS)
    # The output would have one step for all channels, which such a bias makes coarse.
    biases = {one.output[0]: one for one in made.graph.node if one.op_type == "Constant"}
    integers, steps = (
        onnx.numpy_helper.to_array(biases[f"y.bias.{part}"].attribute[0].t)
        for part in ("integers", "steps")
    )
    np.testing.assert_allclose((integers * steps)[:2], bias[:2], rtol=1e-5)


def test_an_odd_number_of_channels_stays_in_float32(tmp_path: Path) -> None:
    """Without VNNI, sums of two products could overflow."""
    first = RNG.normal(size=(3, 4, 1, 1)).astype(np.float32)
    second = RNG.normal(size=(2, 3, 3, 3)).astype(np.float32)
    nodes = [node("Conv", ["x", "w"], "c"), node("Conv", ["c", "v"], "y")]
    assert integer_weights(written(tmp_path, nodes, {"w": first, "v": second})) == 1


@pytest.mark.parametrize("computed", ["w", "b"])
def test_computed_weights_stay_in_float32(tmp_path: Path, computed: str) -> None:
    constants = {"w": DENSE, "b": BIAS}
    # ONNX Runtime cannot compute this before it sees a photo.
    mean = node("ReduceMean", ["x"], "mean", keepdims=0)
    sized = node("Mul", ["mean", computed], "computed")
    inputs = ["x", *("computed" if name == computed else name for name in constants)]
    nodes = [mean, sized, node("Conv", inputs, "c"), node("Conv", ["c", "v"], "y")]
    last = RNG.normal(size=(6, 6, 1, 1)).astype(np.float32)
    assert integer_weights(written(tmp_path, nodes, constants | {"v": last})) == 1


def test_an_old_file_says_what_to_do(tmp_path: Path) -> None:
    file = written(tmp_path, [node("Conv", ["x", "w"], "y")], {"w": DENSE}, opset=11)
    with pytest.raises(StartupError, match=r"has version 11 .* delete the file"):
        quantized(file, PHOTOS)


def test_a_file_that_is_no_network_is_named(tmp_path: Path) -> None:
    (tmp_path / "network.onnx").write_bytes(b"no network")
    with pytest.raises(StartupError, match=r"ONNX Runtime cannot load .*network\.onnx"):
        quantized(tmp_path / "network.onnx", PHOTOS)
