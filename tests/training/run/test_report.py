"""The page of a run holds the numbers of the run, and where its network looked."""

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
from commands import Run
from drawn import draw_classes
from html_pages import Page
from networks import LABELS
from paddle.utils import unique_name

from app.images.decoding import decode
from app.images.files import contents
from app.training.options import Options
from app.training.run import folder
from app.training.run.judge import HeldOut, judge
from app.training.run.progress import Display
from app.training.run.report import write_report
from app.training.train import _reader, train

OPTIONS = Options(
    weights="none", scale=0.25, size=32, batch_size=4, epochs=3, workers=0, patience=3
)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes with 6 photos to learn from and 3 held out."""
    photos = tmp_path_factory.mktemp("photos") / "colours"
    draw_classes(photos / "train", dict.fromkeys(LABELS, 6))
    draw_classes(photos / "test", dict.fromkeys(LABELS, 3), first_seed=100)
    return photos


@pytest.fixture(scope="module")
def trained(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> folder.Run:
    place = tmp_path_factory.mktemp("runs") / "run"
    run, _ = train(photos, OPTIONS, place, repeat="app train 'my photos' --epochs 3")
    return run


def rows(run: folder.Run) -> list[dict[str, Any]]:
    text = (run.folder / "metrics.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]


def judged(run: folder.Run) -> HeldOut:
    with unique_name.guard():
        return judge(run, Display(quiet=True))


def test_the_page_holds_the_numbers_of_the_run(trained: folder.Run) -> None:
    page = Page(trained.folder / "report.html")
    metrics, held_out = rows(trained), judged(trained)
    best = [number for number, row in enumerate(metrics, 1) if row["best"]][-1]
    row = metrics[best - 1]
    # The network of the page is the one that the best epoch has measured.
    assert held_out.result.top(1) == pytest.approx(row["val_top1"])
    uncalibrated = held_out.temperature * np.log(held_out.result.scores)
    uncalibrated -= np.log(np.exp(uncalibrated).sum(axis=1, keepdims=True))
    loss = -uncalibrated[np.arange(9), held_out.result.truth].mean()
    assert loss == pytest.approx(row["val_plain_loss"], rel=1e-3)

    title = f"Run {trained.folder.name}"
    assert "learned from 18 photos, held out 9" in page.texts[title]
    assert f"{row['val_top1']:.1%}" in page.texts[title]
    assert f"Best epoch{best}training {row['epoch']}, of 3 epochs in all" in page.texts[title]
    assert f"best: {best}" in page.drawn["Learning"]
    assert "Both losses are the plain cross-entropy" in page.texts["Learning"]
    recalls = held_out.result.by_class().recall
    shown = {line[0]: line[2] for line in page.tables["Classes"][1:]}
    assert shown == {n: f"{r:.1%}" for n, r in zip(held_out.names, recalls, strict=True)}
    points = [int(line[1]) for line in page.tables["Calibration"][1:]]
    assert sum(points) == 9
    command = page.texts["The command to repeat it"].strip()
    assert command == "app train 'my photos' --epochs 3"
    # The table of all epochs and that of the settings follow the random views.
    epochs = page.tables["What it learned from"][: len(metrics) + 1]
    assert [line[1] for line in epochs] == ["epoch", "1", "2", "3"]
    assert all(source.startswith("data:image/webp;base64,") for source in page.sources)


def test_both_losses_are_the_same_kind(trained: folder.Run, photos: Path, tmp_path: Path) -> None:
    """Without label smoothing the training loss is the plain one; with it, it is another one."""
    assert all(abs(row["loss"] - row["plain_loss"]) > 1e-4 for row in rows(trained))
    options = OPTIONS.model_copy(update={"smoothing": 0.0, "epochs": 1})
    (row,) = train(photos, options, tmp_path / "plain")[1].rows
    assert row["plain_loss"] == pytest.approx(row["loss"], rel=1e-5)


def test_the_map_adds_up_to_the_logit(trained: folder.Run) -> None:
    held_out = judged(trained)
    assert held_out.looks.heat
    network = trained.best_network()
    for sample in held_out.samples[::3]:
        pixels = decode(contents(sample.path), held_out.looks.spec, 10**6).pixels
        planes = held_out.looks.spec.normalized(pixels[np.newaxis])
        logits = network(paddle.to_tensor(planes)).numpy()[0]
        biases = network.out.bias.numpy()
        for class_id in range(3):
            heat = held_out.looks.heat(pixels, class_id)
            assert heat.mean() + biases[class_id] == pytest.approx(logits[class_id], abs=1e-3)


def test_a_run_of_an_older_version_has_a_page(trained: folder.Run, tmp_path: Path) -> None:
    """Its rows have neither the plain loss nor the time, and it has not recorded its command."""
    old = [
        {key: value for key, value in row.items() if key not in {"plain_loss", "seconds"}}
        for row in rows(trained)
    ]
    stopped = folder.Run(shutil.copytree(trained.folder, tmp_path / "old"))
    (stopped.folder / "command.txt").unlink()
    write_report(stopped, old, _reader(stopped.recipe))
    page = Page(stopped.folder / "report.html")
    assert "cannot be compared" in page.texts["Learning"]
    assert "not recorded" in page.texts["Run old"]
    assert "--resume" in page.texts["Run old"]
    assert "Classes" not in page.tables


def test_a_log_gets_lines_with_counts_and_rates(run: Run, photos: Path, tmp_path: Path) -> None:
    """The test's standard error is no terminal."""
    words = (
        "train", photos, "--weights", "none", "--scale", 0.25, "--size", 32, "--batch-size", 4,
        "--epochs", 1, "--workers", 0, "--no-augment",
    )  # fmt: skip
    ended = run(*words, "--output", tmp_path / "run")
    lines = ended.err.splitlines()
    assert any(line.startswith("checking photos: 27 photos in ") for line in lines)
    assert any(line.startswith("training 1/1: 18 photos in ") for line in lines)
    assert any(line.startswith("looking at held-out photos: 9 photos in ") for line in lines)
    assert lines[-2:-1] == [f"page: {tmp_path / 'run' / 'report.html'}"]
    assert lines[-1].startswith("took ")
    json.loads(ended.out.splitlines()[-1])
    page = Page(tmp_path / "run" / "report.html")
    # The options stand in the order of `train --help`, and the folder of the run is another one.
    assert shlex.split(page.texts["The command to repeat it"])[3:] == [
        "train", str(photos), "--weights", "none", "--scale", "0.25", "--size", "32",
        "--epochs", "1", "--batch-size", "4", "--no-augment", "--workers", "0",
    ]  # fmt: skip
    assert "has no random views" in page.texts["What it learned from"]
    ended = run("export", tmp_path / "run")
    first, *_, last = ended.err.splitlines()
    assert first.startswith("classifying held-out photos: 9 photos in ")
    assert last.startswith("took ")
