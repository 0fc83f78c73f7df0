"""Runs that go on: with more epochs, or in a new run that keeps the classifier."""

import itertools
import json
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import Run as Command
from drawn import draw_classes
from networks import LABELS

from app.errors import Stopped
from app.training.data.dataset import read_dataset
from app.training.learning.interruption import Interrupted, Interruption
from app.training.learning.lengthening import lengthened
from app.training.learning.phases import FINE_TUNING, REGRESSION
from app.training.network.freezing import SEGMENTS
from app.training.options import Options, Recipe
from app.training.run.folder import Run
from app.training.train import resume, train
from app.training.weights.pretrained import initial_network

pytest_plugins = ["quick_training"]
pytestmark = pytest.mark.usefixtures("no_page", "few_strengths")

SCRATCH = Options(weights="none", scale=0.25, size=32, batch_size=4, epochs=2, workers=0)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos") / "colours"
    draw_classes(folder / "train", dict.fromkeys(LABELS, 5))
    draw_classes(folder / "test", dict.fromkeys(LABELS, 3), first_seed=100)
    return folder


@pytest.fixture(scope="module")
def first(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that has ended. A test that goes on with the run copies it first."""
    folder = tmp_path_factory.mktemp("runs") / "first"
    train(photos, SCRATCH, folder)
    return folder


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_a_run_that_has_ended_gets_more_epochs(run: Command, first: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(first, tmp_path / "run")
    ended = run("train", "--resume", folder, "--epochs", 5)
    assert ended.code == 0
    rows = rows_of(folder)
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5]
    assert [row["epochs"] for row in rows] == [2, 2, 5, 5, 5]
    assert rows[:2] == rows_of(first)
    # The learning rate of the old plan has fallen to 0; that of the new one falls again.
    assert rows[1]["lr"] < 1e-4 < rows[2]["lr"]
    assert rows[2]["lr"] > rows[3]["lr"] > rows[4]["lr"]
    assert Run(folder).recipe.options.epochs == 5
    code, _, err = run("train", "--resume", folder, "--epochs", 5)
    assert (code, err) == (
        1,
        "error: the run has had 5 epochs of training: --epochs must be more\n",
    )


@pytest.mark.slow
def test_a_longer_run_may_be_stopped(
    first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second run is stopped in its third epoch, after it has become longer."""
    steps = itertools.count(1)

    def stop(_: Interruption) -> None:
        if next(steps) == 2:
            raise Interrupted(signal.SIGINT)

    for name in ("whole", "stopped"):
        shutil.copytree(first, tmp_path / name)
    with monkeypatch.context() as patch:
        patch.setattr(Interruption, "check", stop)
        with pytest.raises(Stopped):
            resume(tmp_path / "stopped", 4)
    _, whole = resume(tmp_path / "whole", 4)
    _, resumed = resume(tmp_path / "stopped")
    assert [row["epoch"] for row in resumed.rows] == [1, 2, 3, 4]
    assert [row["loss"] for row in resumed.rows] == [row["loss"] for row in whole.rows]
    weights = [Run(tmp_path / name).best_network().state_dict() for name in ("whole", "stopped")]
    for key, value in weights[0].items():
        assert np.array_equal(value.numpy(), weights[1][key].numpy()), key


@pytest.mark.slow
def test_a_run_of_the_classifier_alone_has_no_epochs_to_add(
    run: Command, photos: Path, first: Path, tmp_path: Path
) -> None:
    weights = str(first / "best.pdparams")
    options = SCRATCH.model_copy(update={"weights": weights, "freeze": "all"})
    train(photos, options, tmp_path / "run")
    code, _, err = run("train", "--resume", tmp_path / "run", "--epochs", 9)
    assert code == 1
    assert err.splitlines()[-1] == (
        "error: only the classifier learns in this run: --epochs cannot lengthen it"
    )


@pytest.mark.slow
def test_a_run_that_had_time_for_the_regression_alone_may_get_epochs(first: Path) -> None:
    recipe = Run(first).recipe.model_copy(update={"options": Options(minutes=1)})
    regression = {"phase": REGRESSION, "frozen": SEGMENTS}
    longer = lengthened(recipe, [regression], 5, 300).options
    assert (longer.epochs, longer.freeze, longer.minutes) == (5, "auto", None)
    shallow = {"phase": FINE_TUNING, "frozen": 17}
    assert lengthened(recipe, [regression, shallow], 5, 300).options.freeze == "17"


@pytest.mark.slow
def test_the_same_classes_keep_the_classifier(
    run: Command, photos: Path, first: Path, tmp_path: Path
) -> None:
    weights = first / "best.pdparams"
    known = Run(first).best_network().out.weight.numpy().T
    classes = read_dataset(photos / "train").classes
    options = SCRATCH.model_copy(update={"weights": str(weights)})

    def begins_with(order: tuple[str, ...]) -> tuple[Recipe, list[int]]:
        """Return the recipe, and from which class of the first run each classifier row comes."""
        recipe, network = initial_network(options, order)
        columns = network.out.weight.numpy().T
        return recipe, [
            next((i for i, row in enumerate(known) if np.array_equal(row, column)), -1)
            for column in columns
        ]

    recipe, rows = begins_with(classes)
    assert (recipe.keeps_classifier, rows) == (True, [0, 1, 2])
    recipe, rows = begins_with((classes[2], classes[0], classes[1]))
    assert (recipe.keeps_classifier, rows) == (True, [2, 0, 1])
    for others in ((*classes[:2], "other"), classes[:2], (*classes, "other")):
        recipe, rows = begins_with(others)
        assert (recipe.keeps_classifier, set(rows)) == (False, {-1})
    ended = run(
        "train", photos, "--weights", weights, "--scale", 0.25, "--size", 32, "--workers", 0,
        "--epochs", 1, "--output", tmp_path / "second",
    )  # fmt: skip
    assert f"{weights} has the same classes, so its classifier is kept" in ended.err
