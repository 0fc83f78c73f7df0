"""A saved graph leaves no trace in the process that saves it."""

import traceback
from pathlib import Path

import pytest
from networks import linear_network
from paddle import Tensor, nn
from paddle.static import InputSpec

from app.training.network.graph import save_graph

INPUTS = InputSpec([None, 3, 64, 64], "float32", name="x")


class Broken(nn.Layer):
    def forward(self, _: Tensor) -> Tensor:
        raise ArithmeticError


def test_afterwards_call_stacks_are_whole(tmp_path: Path) -> None:
    before = len(traceback.extract_stack())
    save_graph(linear_network(), tmp_path / "whole", INPUTS)
    assert len(traceback.extract_stack()) == before > 1
    with pytest.raises(ArithmeticError):
        save_graph(Broken(), tmp_path / "broken", INPUTS)
    assert len(traceback.extract_stack()) == before
