"""Paddle's compiled library alone gives the answers that all of Paddle gives."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import json, sys
{before}
import numpy as np
from app.model.bundle import load_bundle
from app.model.engine import Engine
images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
scores = Engine(load_bundle(__import__("pathlib").Path(sys.argv[1]))).infer(images)
alone = "paddle" not in sys.modules
{after}
print(json.dumps([alone, scores.tolist()]))
"""
# All of Paddle has to work as well once the library is loaded.
AFTER = """
import paddle
assert paddle.base.core.libpaddle is sys.modules["paddle.base.libpaddle"]
assert float(paddle.nn.functional.relu(paddle.to_tensor([-1.0, 2.0])).sum()) == 2
"""


def answers(bundle: Path, before: str = "", after: str = "") -> tuple[bool, list[list[float]]]:
    """Return whether the library was loaded alone, and the scores, from a process of its own."""
    program = PROGRAM.format(before=before, after=after)
    command = [sys.executable, "-W", "ignore", "-c", program, str(bundle)]
    alone, scores = json.loads(subprocess.check_output(command, text=True))
    return alone, scores


@pytest.fixture(scope="module")
def scores(small_bundle: Path) -> list[list[float]]:
    """The answers of all of Paddle."""
    alone, scores = answers(small_bundle, before="import paddle")
    assert not alone
    return scores


@pytest.mark.slow
@pytest.mark.parametrize("after", ["", AFTER], ids=["alone", "then all"])
def test_the_answers_are_those_of_all_of_paddle(
    small_bundle: Path, scores: list[list[float]], after: str
) -> None:
    assert answers(small_bundle, after=after) == (True, scores)
