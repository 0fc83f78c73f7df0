"""Classes of 150, 50, 12 and 3 photos: nobody is left with a top-1 that hides the small ones."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import paddle
import pytest
import yaml
from commands import Run
from drawn import draw
from networks import randomise

from app.training.data.dataset import Sample
from app.training.data.holdout import Photos
from app.training.evaluation.recall import measure_recall
from app.training.learning.choice import balances, better
from app.training.network.mobilenetv2 import MobileNetV2
from app.training.options import Options

pytest_plugins = ["quick_training"]

COUNTS = {"rose": 150, "tulip": 50, "daisy": 12, "lily": 3}
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
                draw(
                    folder / part / name / f"{i}.png",
                    (grey,) * 3,
                    int(rng.integers(2**31)),
                    (32, 32),
                )
    return folder


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("weights") / "pretrained.pdparams"
    network = MobileNetV2(7, 0.25)
    randomise(network)
    paddle.save(network.state_dict(), str(file))
    return file


@pytest.mark.slow
@pytest.mark.usefixtures("few_strengths")
@pytest.mark.parametrize("choice", ["auto", "none"])
def test_a_small_class_that_is_not_recognised_is_named(
    choice: str,
    run: Run,
    photos: Path,
    pretrained: Path,
    tmp_path: Path,
) -> None:
    """Terminal, metrics, bundle and evaluation all say so, whether or not classes are balanced."""
    folder = tmp_path / "run"
    trained = run(
        "train", photos / "learn", "--weights", pretrained, "--scale", 0.25, "--size", 32,
        "--freeze", "all", "--workers", 0, "--output", folder,
        "--class-weights", choice, "--no-augment",
    )  # fmt: skip
    assert trained.code == 0
    assert "few photos to learn from: lily 2, daisy 10; with fewer than 15" in trained.err
    assert (
        "unequal, from rose with 120 photos to lily with 2: the top-1 accuracy hides" in trained.err
    )
    assert ("each counts the same in the loss" in trained.err) == (choice == "auto")
    document = json.loads(trained.out.splitlines()[-1])
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    lines = re.findall(r"top-1 [\d.]+%  mean recall ([\d.]+)%", trained.err)
    assert [float(line) for line in lines] == [
        pytest.approx(100 * row["val_recall"], abs=0.051) for row in rows
    ]
    best = [row for row in rows if row["best"]][-1]
    by_class = best["val_recall_by_class"]
    assert by_class.keys() == COUNTS.keys()
    assert sum(by_class.values()) / 4 == pytest.approx(best["val_recall"], abs=1e-6)
    assert document["val_recall"] == pytest.approx(best["val_recall"], abs=1e-6)
    name = "val_recall" if choice == "auto" else "val_top1"
    assert best[name] == max(row[name] for row in rows)
    sentence = f"mean recall {best['val_recall']:.1%}; lowest first: lily 0.0% of 1"
    assert sentence in trained.out
    assert "fewer than 5 photos say little about lily, daisy" in trained.out

    exported = run("export", folder)
    assert sentence in exported.out
    config = yaml.safe_load((folder / "bundle" / "inference.yml").read_text("utf-8"))
    accuracy = config["Provenance"]["accuracy"]
    assert accuracy["recall"] == pytest.approx(best["val_recall"], abs=1e-6)
    assert accuracy["recall_by_class"] == pytest.approx(by_class, abs=1e-6)
    assert accuracy["recall_by_class"]["lily"] == 0
    assert accuracy["photos_by_class"] == {"daisy": 2, "lily": 1, "rose": 30, "tulip": 10}

    evaluated = run("evaluate", folder / "bundle", photos / "new", "--output", tmp_path / "out")
    measured = json.loads(evaluated.out.splitlines()[-1])
    assert measured["recall_by_class"]["lily"] < 0.2
    assert measured["recall"] == pytest.approx(sum(measured["recall_by_class"].values()) / 4)
    mean = next(line for line in evaluated.out.splitlines() if line.startswith("│ mean "))
    assert mean.split("│")[4].strip() == f"{measured['recall']:.3f}"
    assert f"mean recall {measured['recall']:.1%}; lowest first: " in evaluated.out
    whole = json.loads((tmp_path / "out" / "evaluation.json").read_text("utf-8"))
    assert whole["recall_by_class"] == measured["recall_by_class"]
    with (tmp_path / "out" / "classes.csv").open(encoding="utf-8", newline="") as file:
        table = {row["class"]: float(row["recall"]) for row in csv.DictReader(file)}
    assert table == measured["recall_by_class"]


def photos_of(*counts: int) -> Photos:
    train = [
        Sample(Path(f"{i}-{j}.jpg"), i) for i, count in enumerate(counts) for j in range(count)
    ]
    return Photos(tuple(map(str, range(len(counts)))), tuple(train), ())


def test_classes_are_balanced_beyond_a_ratio_of_three() -> None:
    assert not balances(Options(), photos_of(30, 10))
    assert balances(Options(), photos_of(31, 10))
    assert balances(Options(class_weights="balanced"), photos_of(10, 10))
    assert not balances(Options(class_weights="none"), photos_of(500, 3))


def test_the_best_epoch_of_unequal_classes_has_the_highest_mean_recall() -> None:
    same = {"phase": "fine-tuning", "val_error": 0.01}
    large = same | {"val_top1": 0.95, "val_recall": 0.5, "val_loss": 0.2}
    small = same | {"val_top1": 0.90, "val_recall": 0.8, "val_loss": 0.4}
    assert better(small, [large], balanced=True)
    assert not better(large, [small], balanced=True)
    assert better(large, [small])
    assert not better(small, [large])
    assert better(small, [], balanced=True)
    assert better(small | {"val_loss": 0.3}, [small], balanced=True)


def test_a_class_without_photos_does_not_count() -> None:
    rank, truth = np.array([0, 1, 0, 0]), np.array([0, 0, 2, 2])
    recall = measure_recall(rank, truth, 3)
    assert recall.mean == 0.75
    assert recall.named(("cat", "dog", "cat")) == {"cat (0)": 0.5, "dog": None, "cat (2)": 1.0}
    assert recall.sentence(("a", "b", "c")) == (
        "mean recall 75.0%; lowest first: a 50.0% of 2; fewer than 5 photos say little about a, c"
    )
