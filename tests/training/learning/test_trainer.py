"""Small training runs: they learn, are reproducible to the bit, and can be stopped and resumed."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
from drawn import draw, draw_classes
from networks import LABELS, randomise
from PIL import Image, ImageOps

from app.bench.measure.launch import free_port
from app.errors import StartupError, Stopped
from app.model.bundle import load_bundle
from app.model.engine import Engine
from app.training.copies.inspection import inspect
from app.training.data.dataset import Sample, list_photos, read_dataset
from app.training.data.holdout import Photos, hold_out, read_lists, read_photos, write_lists
from app.training.export_run import deliver
from app.training.learning import regression
from app.training.learning.interruption import Interruption
from app.training.network.mobilenetv2 import OFFICIAL_SCALES, MobileNetV2
from app.training.options import Options
from app.training.run.folder import Run
from app.training.train import resume, train

pytest_plugins = ["quick_training"]
pytestmark = pytest.mark.usefixtures("few_strengths")

ROOT = Path(__file__).parents[3]
# With this seed, the random network's features are enough for the regression.
TELLING = 4
COUNTS = dict.fromkeys(LABELS, 5)
SCRATCH = Options(weights="none", scale=0.25, size=32, batch_size=4, epochs=3, workers=0)
ALL_STRENGTHS = regression._STRENGTHS


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes that differ in colour, each with 5 training photos and 3 held-out photos."""
    folder = tmp_path_factory.mktemp("photos") / "colours"
    draw_classes(folder / "train", COUNTS)
    draw_classes(folder / "test", dict.fromkeys(LABELS, 3), first_seed=100)
    return folder


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Options:
    """The options of a run that starts from a file of weights, whose features tell colours."""
    file = tmp_path_factory.mktemp("weights") / "pretrained.pdparams"
    network = MobileNetV2(7, 0.25)
    randomise(network, TELLING)
    paddle.save(network.state_dict(), str(file))
    return SCRATCH.model_copy(update={"weights": str(file), "epochs": 2})


@pytest.fixture(scope="module")
def from_scratch(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with `SCRATCH` that was not stopped."""
    folder = tmp_path_factory.mktemp("runs") / "from scratch"
    train(photos, SCRATCH, folder)
    return folder


@pytest.fixture(scope="module")
def fine_tuned(pretrained: Options, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with `pretrained` that was not stopped."""
    folder = tmp_path_factory.mktemp("runs") / "fine-tuned"
    train(photos, pretrained, folder)
    return folder


def state(folder: Path) -> dict[str, bytes]:
    """Return all arrays of a run's last checkpoint, and its best weights.

    The position is left out, because it holds the measured speed, which differs between runs.
    """
    with np.load(folder / "last.npz") as arrays:
        kept = {name: arrays[name].tobytes() for name in arrays.files if name != "place"}
    return kept | {"best": (folder / "best.pdparams").read_bytes()}


@pytest.mark.slow
@pytest.mark.usefixtures("no_page")
def test_eight_photos_are_learnt_by_heart_from_scratch(tmp_path: Path) -> None:
    """The photos have the same colour, so the network can tell them apart only by their noise."""
    for i in range(8):
        draw(tmp_path / f"{i}.png", (120, 120, 120), seed=i)
    lines = "".join(f"{i}.png {i % 4}\n" for i in range(8))
    (tmp_path / "train_list.txt").write_text(8 * lines)
    (tmp_path / "val_list.txt").write_text(lines)
    changes = {"size": 64, "epochs": 12, "batch_size": 8, "augment": False}
    _, position = train(tmp_path, SCRATCH.model_copy(update=changes), tmp_path / "run")
    first, last = position.rows[0], position.rows[-1]
    assert last["loss"] < first["loss"] / 2
    assert last["top1"] == last["val_top1"] == 1


def stop_after(checks: int) -> Callable[[Interruption], None]:
    """Return a replacement of `check` that gets a real SIGINT in call number `checks`."""
    calls = 0
    check = Interruption.check

    def stopping(self: Interruption) -> None:
        nonlocal calls
        calls += 1
        if calls == checks:
            signal.raise_signal(signal.SIGINT)
        check(self)

    return stopping


@pytest.mark.slow
@pytest.mark.usefixtures("no_page")
def test_resume_from_scratch_equals_not_stopping(
    photos: Path, from_scratch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run is stopped in the first epoch, resumed, and stopped again at the second's end."""
    stop_and_resume(photos, SCRATCH, (3, 5), tmp_path / "stopped", monkeypatch)
    assert_ends_like(from_scratch, tmp_path / "stopped")


@pytest.mark.slow
@pytest.mark.usefixtures("no_page")
def test_resume_with_known_weights_equals_not_stopping(
    pretrained: Options,
    photos: Path,
    fine_tuned: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The run is stopped in the regression and twice in fine-tuning.

    The regression checks 12 times, for 4 batches at each of three sizes. Fine-tuning begins with 8
    checks, for 4 batches of 2 views.
    """
    stops = (5, 12 + 8 + 2, 8 + 3)
    stop_and_resume(photos, pretrained, stops, tmp_path / "stopped", monkeypatch)
    assert_ends_like(fine_tuned, tmp_path / "stopped")


@pytest.mark.slow
@pytest.mark.usefixtures("no_page")
def test_resume_between_two_phases_equals_not_stopping(
    pretrained: Options,
    photos: Path,
    fine_tuned: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The run fails in the first step of fine-tuning, so the last checkpoint lies between phases.

    20 checks come before: 12 in the regression, and 8 while the views are computed.
    """
    with monkeypatch.context() as patch:
        patch.setattr(Interruption, "check", failing_at(21))
        with pytest.raises(MemoryError):
            train(photos, pretrained, tmp_path / "stopped")
    assert_ends_like(fine_tuned, tmp_path / "stopped")


def failing_at(checks: int) -> Callable[[Interruption], None]:
    """Return a replacement of `check` that fails in call number `checks`; nothing is saved then."""
    calls = itertools.count(1)

    def failing(_: Interruption) -> None:
        if next(calls) == checks:
            raise MemoryError

    return failing


def stop_and_resume(
    photos: Path,
    options: Options,
    stops: tuple[int, ...],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        for number, checks in enumerate(stops):
            patch.setattr(Interruption, "check", stop_after(checks))
            begin = partial(train, photos, options) if number == 0 else resume
            with pytest.raises(Stopped, match=r"train --resume .*stopped$"):
                begin(folder)


def assert_ends_like(whole: Path, stopped: Path) -> None:
    """Resume a run that was stopped, and compare its result with a run that was not stopped."""
    resume(stopped)
    assert rows(stopped) == rows(whole)
    assert state(stopped) == state(whole)


def rows(folder: Path) -> list[dict[str, Any]]:
    """Return a run's metrics without the times, which differ between runs."""
    found = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for row in found:
        del row["photos_per_s"], row["seconds"]
    return found


@pytest.mark.slow
@pytest.mark.usefixtures("no_page")
def test_a_seed_is_a_run_and_workers_change_nothing(
    photos: Path, from_scratch: Path, tmp_path: Path
) -> None:
    for name, changes in {"same": {"workers": 2}, "other": {"seed": 1}}.items():
        train(photos, SCRATCH.model_copy(update=changes), tmp_path / name)
    assert state(from_scratch) == state(tmp_path / "same")
    assert state(from_scratch) != state(tmp_path / "other")


@pytest.mark.slow
@pytest.mark.usefixtures("no_page")
def test_two_machines_learn_as_one(
    pretrained: Options, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each process learns from half of every batch; the 16 photos make 4 batches of 4.

    The command is that of docs/train.md. The second machine never sees the run's folder.
    """
    photos = shutil.copytree(photos, tmp_path / "photos")
    draw(photos / "train" / "cat" / "more.png", (200, 60, 40), seed=99)
    one = tmp_path / "one"
    # The other processes try them all, too.
    monkeypatch.setattr(regression, "_STRENGTHS", ALL_STRENGTHS)
    train(photos, pretrained.model_copy(update={"freeze": "18"}), one)
    options = ["--weights", pretrained.weights, "--scale", "0.25", "--size", "32"]
    options += ["--batch-size", "4", "--freeze", "18", "--epochs", "2"]
    options += ["--workers", "0"]
    launch = [sys.executable, "-m", "paddle.distributed.launch", "--nnodes", "2"]
    launch += ["--master", f"127.0.0.1:{free_port()}", "--rank"]
    train_command = [str(ROOT / "app" / "__main__.py"), "train", str(photos), *options]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    machines = []
    for rank in ("0", "1"):
        (tmp_path / rank).mkdir()
        with (tmp_path / rank / "output").open("w") as output:
            machine = subprocess.Popen(
                [*launch, rank, *train_command],
                cwd=tmp_path / rank,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        machines.append(machine)
    try:
        codes = [machine.wait(timeout=240) for machine in machines]
    finally:
        for machine in machines:
            machine.kill()
    first, second = ((tmp_path / rank / "output").read_text() for rank in ("0", "1"))
    assert codes == [0, 0], first + second
    assert "export it: .venv/bin/python -m app export runs/photos-1" in first
    assert "export it:" not in second
    assert not (tmp_path / "1" / "runs").exists()
    two = tmp_path / "0" / "runs" / "photos-1"
    expected, got = (Run(folder).best_network().state_dict() for folder in (one, two))
    for key, value in expected.items():
        np.testing.assert_allclose(got[key].numpy(), value.numpy(), atol=1e-4, err_msg=key)


@pytest.mark.slow
@pytest.mark.usefixtures("no_page")
def test_only_what_is_not_frozen_learns(pretrained: Options, photos: Path, tmp_path: Path) -> None:
    train(photos, pretrained.model_copy(update={"freeze": "18"}), tmp_path / "run")
    before = MobileNetV2(7, 0.25)
    randomise(before, TELLING)
    last = Run(tmp_path / "run").last()
    assert last
    after = last.groups["average"]
    moved = {
        key.split(".")[0]
        for key, value in before.state_dict().items()
        if not np.array_equal(value.numpy(), after[key])
    }
    assert moved == {"conv9", "out"}
    statistics = "conv9._batch_norm._mean"
    assert np.array_equal(before.state_dict()[statistics].numpy(), after[statistics])


@pytest.mark.slow
@pytest.mark.usefixtures("no_page")
def test_the_regression_is_kept_unless_fine_tuning_beats_it(
    pretrained: Options, photos: Path, tmp_path: Path
) -> None:
    """With such a large rate, fine-tuning makes the network worse."""
    runs: dict[str, dict[str, float]] = {"kept": {"lr": 5.0}, "alone": {"epochs": 0}}
    for name, changes in runs.items():
        train(photos, pretrained.model_copy(update=changes), tmp_path / name)
    assert [(row["phase"], row["best"]) for row in rows(tmp_path / "kept")] == [
        ("regression", True), ("fine-tuning", False), ("fine-tuning", False)
    ]  # fmt: skip
    kept, alone = ((tmp_path / name / "best.pdparams").read_bytes() for name in ("kept", "alone"))
    assert kept == alone


@pytest.mark.slow
def test_a_refit_learns_from_all_photos_and_can_be_resumed(
    pretrained: Options, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first run checks 29 times: 12 in the regression, 8 for views, 8 for steps, 1 at its end.

    It is stopped in the regression of the second run, which has 24 photos and so 6 batches.
    """
    options = pretrained.model_copy(update={"refit": True, "lr": 1e-6})
    with monkeypatch.context() as patch:
        patch.setattr(Interruption, "check", stop_after(29 + 10))
        with pytest.raises(Stopped, match=r"train --resume .*stopped$"):
            train(photos, options, tmp_path / "stopped")
    with pytest.raises(
        StartupError, match=r"not learned from all photos yet: .* --resume .*stopped$"
    ):
        deliver(tmp_path / "stopped")
    run, position = resume(tmp_path / "stopped")
    train(photos, options, tmp_path / "whole")
    assert state(run.refit.folder) == state(tmp_path / "whole" / "refit")
    assert len(run.photos.train) == 15
    assert len(run.refit.photos.train) == 24
    bundle, measured, _ = deliver(run.folder)
    assert position.best
    assert measured["accuracy"]["top1"] == pytest.approx(position.best["val_top1"], abs=1e-6)
    assert measured["learned_from"] == {"photos": 24, "held_out_too": True}
    shipped = run.refit.best_network()
    spec = load_bundle(bundle).preprocessing
    image = np.random.default_rng(0).integers(0, 256, (1, *spec.crop, 3), np.uint8)
    logits = shipped(paddle.to_tensor(spec.normalized(image))).numpy() / measured["temperature"]
    odds = np.exp(logits - logits.max())
    got = Engine(load_bundle(bundle)).infer(image)
    np.testing.assert_allclose(got, odds / odds.sum(), atol=1e-4)
    with pytest.raises(StartupError, match=r"has no held-out photos: export .*stopped$"):
        deliver(run.refit.folder)


@pytest.mark.slow
@pytest.mark.usefixtures("no_page")
def test_minutes_that_are_over_leave_the_regression(
    pretrained: Options, photos: Path, tmp_path: Path
) -> None:
    changes = {"minutes": 1e-6}
    _, position = train(photos, pretrained.model_copy(update=changes), tmp_path / "run")
    assert [row["phase"] for row in position.rows] == ["regression"]


@pytest.mark.slow
@pytest.mark.usefixtures("no_page")
def test_minutes_that_suffice_change_nothing(
    pretrained: Options, photos: Path, fine_tuned: Path, tmp_path: Path
) -> None:
    train(photos, pretrained.model_copy(update={"minutes": 60.0}), tmp_path / "enough")
    assert state(fine_tuned) == state(tmp_path / "enough")


@pytest.mark.slow
@pytest.mark.parametrize("scale", OFFICIAL_SCALES)
def test_every_width_learns_from_scratch(scale: float, photos: Path, tmp_path: Path) -> None:
    changes = {"scale": scale, "epochs": 1, "batch_size": 15, "loss": "poly1"}
    run, position = train(photos, SCRATCH.model_copy(update=changes), tmp_path / "run")
    assert len(position.rows) == 1
    assert run.best_network().conv1._conv.weight.shape[0] == int(32 * scale)


@pytest.mark.slow
@pytest.mark.usefixtures("no_page")
def test_it_stops_when_nothing_gets_better(photos: Path, tmp_path: Path) -> None:
    # With such a small rate, the changes of the weights are lost when they are rounded to float32.
    changes = {"lr": 1e-30, "epochs": 9, "patience": 2, "weight_decay": 0.0, "ema": 0.0}
    _, position = train(photos, SCRATCH.model_copy(update=changes), tmp_path / "run")
    assert len(position.rows) == 3


def divided(path: Path, share: float, seed: int) -> Photos:
    photos = read_photos(path)
    outcomes = list(inspect(list_photos(photos.parts), threads=1, max_pixels=100_000))
    return hold_out(photos, outcomes, share, seed)[0]


def test_a_held_out_share_is_of_every_class_and_of_the_seed(tmp_path: Path) -> None:
    draw_classes(tmp_path, {"cat": 10, "dog": 5, "Gänseblümchen": 1})
    first, again, other = (divided(tmp_path, 0.2, seed) for seed in (0, 0, 1))
    assert [s.class_id for s in first.validation] == [1, 1, 2]
    assert [first.classes[i] for i in (0, 1, 2)] == ["Gänseblümchen", "cat", "dog"]
    assert sorted(first.all) == sorted(other.all)
    assert len(set(first.all)) == 16
    assert first == again != other


def test_copies_of_a_photo_are_not_on_both_sides(tmp_path: Path) -> None:
    draw_classes(tmp_path, {"cat": 10, "dog": 10})
    for i in range(10):
        shutil.copy(tmp_path / "cat" / f"{i}.png", tmp_path / "cat" / f"{i} again.png")
        shutil.copy(tmp_path / "cat" / f"{i}.png", tmp_path / "dog" / f"cat {i}.png")
    photos = divided(tmp_path, 0.3, 0)
    learned, held_out = (
        {sample.path.read_bytes() for sample in part} for part in (photos.train, photos.validation)
    )
    assert not learned & held_out
    assert len(photos.all) == 40
    assert len(held_out) >= 6


def test_a_photo_that_was_encoded_again_is_not_on_both_sides(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for i in range(10):
            fields = Image.fromarray(random.integers(0, 256, (12, 12, 3), np.uint8))
            picture = fields.resize((90, 80))
            picture.save(tmp_path / name / f"{i}.png")
            ImageOps.mirror(picture).save(tmp_path / name / f"{i} again.jpg")
    photos = divided(tmp_path, 0.3, 0)
    learned, held_out = (
        {(sample.class_id, sample.path.name[0]) for sample in part}
        for part in (photos.train, photos.validation)
    )
    assert not learned & held_out
    assert len(held_out) == 6


def test_a_photo_that_is_gone_is_not_held_out(tmp_path: Path) -> None:
    draw_classes(tmp_path, {"cat": 2, "dog": 2})
    lines = ["cat/0.png 0", "cat/1.png 0", "dog/0.png 1", "dog/1.png 1"]
    lines += [f"cat/gone {i}.png 0" for i in range(20)]
    (tmp_path / "list.txt").write_text("\n".join(lines))
    photos = divided(tmp_path / "list.txt", 0.2, 0)
    assert [sample.class_id for sample in photos.validation] == [0, 1]
    assert all(sample.path.exists() for sample in photos.validation)


def test_lists_hold_odd_names(tmp_path: Path) -> None:
    photos = Photos(
        ("a", "b"),
        train=(Sample(tmp_path / "next\x85line.png", 0), Sample(tmp_path / "cr\rff\f.png", 1)),
        validation=(Sample(tmp_path / "two  spaces 1.png", 0), Sample(tmp_path / "\u2028.png", 1)),
    )
    write_lists(photos, tmp_path)
    assert read_lists(tmp_path, photos.classes) == photos


def test_a_name_is_the_same_in_either_form_of_unicode(tmp_path: Path) -> None:
    composed, decomposed = "G\u00e4nsebl\u00fcmchen", "Ga\u0308nseblu\u0308mchen"
    draw_classes(tmp_path / "train", {"Gänseblümchen": 2, "cat": 2, "dog": 2})
    draw_classes(tmp_path / "val", {"Gänseblümchen": 2, "cat": 2}, first_seed=50)
    for part, old, new in (("train", "dog", decomposed), ("val", composed, decomposed)):
        (tmp_path / part / old).rename(tmp_path / part / new)
    photos = read_photos(tmp_path)
    assert photos.classes == (composed, "cat")
    assert [s.class_id for s in photos.train] == [0, 0, 0, 0, 1, 1]
    assert [s.class_id for s in photos.validation] == [0, 0, 1, 1]
    model = read_dataset(tmp_path / "train", ("cat", decomposed))
    assert model.classes == ("cat", decomposed)
    assert [s.class_id for s in model.samples] == [1, 1, 1, 1, 0, 0]
