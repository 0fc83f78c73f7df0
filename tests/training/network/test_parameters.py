"""Paddle's file of parameters, read without Paddle."""

from pathlib import Path

import numpy as np
import paddle
import pytest

from app.model.bundle import PARAMETERS, load_bundle
from app.training.network.parameters import read_parameters


def test_they_are_those_that_paddle_reads(small_bundle: Path) -> None:
    graph = load_bundle(small_bundle).graph
    loaded = paddle.jit.load(str(graph.with_suffix(""))).parameters()
    found = read_parameters(small_bundle / PARAMETERS)
    assert sorted(array.tobytes() for array in found) == sorted(
        parameter.numpy().tobytes() for parameter in loaded
    )
    assert {array.shape for array in found} == {tuple(parameter.shape) for parameter in loaded}
    assert {array.dtype for array in found} == {np.dtype(np.float32)}


@pytest.mark.parametrize("lost", [1, 10_000])
def test_a_file_that_is_cut_off_is_an_error(small_bundle: Path, tmp_path: Path, lost: int) -> None:
    file = tmp_path / PARAMETERS
    file.write_bytes((small_bundle / PARAMETERS).read_bytes()[:-lost])
    with pytest.raises(ValueError, match=r"unknown form|buffer"):
        read_parameters(file)
