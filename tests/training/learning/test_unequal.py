"""Classes of 500, 100, 12 and 3 photos: nobody is left with a top-1 that hides the small ones."""

from pathlib import Path

import numpy as np
import paddle
import pytest
from commands import Run
from drawn import draw
from networks import randomise

from app.training.network.mobilenetv2 import MobileNetV2

COUNTS = {"rose": 500, "tulip": 100, "daisy": 12, "lily": 3}
BRIGHTNESS = {"rose": 100, "tulip": 130, "daisy": 160, "lily": 85}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four classes whose brightness overlaps, in `learn`, and 25 other photos of each in `new`."""
    folder = tmp_path_factory.mktemp("unequal")
    rng = np.random.default_rng(0)
    for part, counts in (("learn", COUNTS), ("new", dict.fromkeys(COUNTS, 25))):
        for name, count in counts.items():
            for i in range(count):
                grey = int(BRIGHTNESS[name] + rng.normal(0, 8))
                draw(folder / part / name / f"{i}.png", (grey,) * 3, rng.integers(2**31), (32, 32))
    return folder


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("weights") / "pretrained.pdparams"
    network = MobileNetV2(7, 0.25)
    randomise(network)
    paddle.save(network.state_dict(), str(file))
    return file


@pytest.mark.slow
@pytest.mark.parametrize("choice", ["auto", "none"])
def test_a_small_class_that_is_not_recognised_is_named(
    choice: str, run: Run, photos: Path, pretrained: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    trained = run(
        "train", photos / "learn", "--weights", pretrained, "--scale", 0.25, "--size", 32,
        "--freeze", "all", "--warmup-epochs", 20, "--workers", 0, "--output", folder,
        "--class-weights", choice, "--no-augment",
    )  # fmt: skip
    print(trained.err, trained.out)
    exported = run("export", folder)
    print(exported.out)
    evaluated = run("evaluate", folder / "bundle", photos / "new")
    print(evaluated.out)
    assert 0
