"""The commands `train` and `export`."""

import itertools
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from commands import Run
from drawn import draw_classes
from networks import LABELS
from running import cmdline, until

from app.model.bundle import load_bundle
from app.model.engine import Engine
from app.training.options import Options
from app.training.run.folder import free_folder

ROOT = Path(__file__).parents[1]
SMALL = ("--weights", "none", "--scale", 0.25, "--size", 32, "--batch-size", 4)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of class folders, with a damaged file among the photos."""
    folder = tmp_path_factory.mktemp("photos") / "colours"
    draw_classes(folder, dict.fromkeys(LABELS, 6))
    damaged = folder / "cat" / "damaged.png"
    damaged.write_bytes((folder / "cat" / "0.png").read_bytes()[:500])
    return folder


@pytest.fixture(scope="module")
def trained(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two epochs. A test that changes the run copies it first."""
    # This imports Paddle.
    from app.training.train import train  # noqa: PLC0415

    folder = tmp_path_factory.mktemp("runs") / "run"
    options = Options(weights="none", scale=0.25, size=32, batch_size=4, epochs=2, workers=0)
    train(photos, options, folder)
    return folder


def printed_command(output: str, hint: str) -> list[str]:
    """Return the arguments of the command that was printed behind `hint`, split like in a shell."""
    (line,) = (line for line in output.splitlines() if hint in line)
    program, *words = shlex.split(line.partition(hint)[2])
    assert (program, *words[:2]) == (".venv/bin/python", "-m", "app")
    return words[2:]


def test_from_photos_to_a_bundle(run: Run, photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "a run"
    ended = run(
        "train", photos, *SMALL, "--epochs", 12, "--workers", 0, "--output", folder,
        "--class-weights", "balanced", "--patience", 12, "--no-augment", "--batch-size", 16,
    )  # fmt: skip
    assert ended.code == 0
    assert "damaged.png: The PNG image is truncated or damaged" in ended.err
    document = json.loads(ended.out.splitlines()[-1])
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert document["epochs"] == len(rows) == 12
    best = [row for row in rows if row["best"]][-1]
    assert document["val_top1"] == pytest.approx(best["val_top1"], abs=1e-6)
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert "The command to repeat it" in (folder / "report.html").read_text()
    assert list((folder / "visualdl").glob("vdlrecords.*.log"))

    ended = run(*printed_command(ended.out, "export it: "))
    assert ended.code == 0
    serve = printed_command(ended.out, "serve it: ")
    assert serve == ["serve", "--model-dir", str(folder / "bundle")]
    exported = json.loads(ended.out.splitlines()[-1])
    bundle = load_bundle(folder / "bundle")
    assert bundle.labels == tuple(sorted(LABELS))
    assert bundle.name == "MobileNetV2_x0_25"
    assert bundle.preprocessing.crop == (32, 32)
    assert bundle.preprocessing.srgb
    assert bundle.provenance["accuracy"] == exported["accuracy"]
    assert exported["accuracy"]["top1"] == document["val_top1"]
    assert exported["accuracy"]["photos"] == 3
    assert bundle.provenance["temperature"] == exported["temperature"] > 0
    assert exported["unfamiliar"]["held_out"] == 3
    record = bundle.provenance["unfamiliar"]
    assert exported["unfamiliar"].items() <= record.items()
    assert Engine(bundle).answer(np.zeros((1, 32, 32, 3), np.uint8)).unfamiliarity is not None

    ended = run("evaluate", folder / "bundle", folder / "val_list.txt")
    assert json.loads(ended.out.splitlines()[-1])["top1"] == document["val_top1"]


def test_the_temperature_is_in_the_exported_scores(run: Run, trained: Path, tmp_path: Path) -> None:
    run("export", trained, "--output", tmp_path / "bundle")
    from app.training.run.folder import Run as TrainingRun  # noqa: PLC0415  (it imports Paddle)

    bundle = load_bundle(tmp_path / "bundle")
    image = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), np.uint8)
    network = TrainingRun(trained).best_network()
    import paddle  # noqa: PLC0415  (the import takes seconds)

    logits = network(paddle.to_tensor(bundle.preprocessing.normalized(image))).numpy()
    odds = np.exp(logits / bundle.provenance["temperature"])
    np.testing.assert_allclose(Engine(bundle).infer(image), odds / odds.sum(), atol=1e-4)
    config = yaml.safe_load((tmp_path / "bundle" / "inference.yml").read_text("utf-8"))
    assert config["Provenance"]["started_from"] == {"source": "random weights"}


def test_weights_of_a_run_bring_their_padding_and_preprocessing(
    run: Run, photos: Path, tmp_path: Path
) -> None:
    from app.training.weights.origins import read_file  # noqa: PLC0415  (it imports Paddle)

    folder, labels = tmp_path / "run", tmp_path / "labels.txt"
    labels.write_text("\n".join(sorted(LABELS)), "utf-8")
    small = (*SMALL, "--scale", 0.3, "--epochs", 1, "--workers", 0)
    run("train", photos, *small, "--output", folder)
    settings, weights = folder / "settings.json", folder / "best.pdparams"
    settings.write_text(settings.read_text("utf-8").replace("symmetric", "bottom-right"), "utf-8")
    assert read_file(weights).padding == "bottom-right"
    ended = run("weights", "import", weights, "--labels", labels, "--output", tmp_path / "got")
    assert ended.code == 0
    run("export", folder)
    got, exported = load_bundle(tmp_path / "got"), load_bundle(folder / "bundle")
    assert got.preprocessing == exported.preprocessing


@pytest.fixture
def child(photos: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A long run with two reader processes, after the end of its first epoch."""
    options = [*map(str, SMALL), "--epochs", "400", "--workers", "2", "--patience", "400"]
    folder = tmp_path / "a run"
    command = [sys.executable, "-m", "app", "train", str(photos), *options, "--output", str(folder)]
    with subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as child:
        until(lambda: child.poll() is not None or (folder / "metrics.jsonl").exists())
        yield child
        child.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_saves_and_says_how_to_go_on(
    number: signal.Signals, child: subprocess.Popen[str], tmp_path: Path
) -> None:
    folder = tmp_path / "a run"
    # A terminal also sends the signal to all processes of the command.
    os.killpg(child.pid, number)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 128 + number
    assert "error" not in err
    assert printed_command(err, "go on with: ") == ["train", "--resume", str(folder)]
    assert "Traceback" not in err
    done = (folder / "metrics.jsonl").read_text().count("\n")
    assert 1 <= done < 400
    assert (folder / "last.npz").is_file()
    assert (folder / "report.html").is_file()


def test_readers_end_with_a_killed_parent(child: subprocess.Popen[str]) -> None:
    children = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()
    readers = [int(pid) for pid in children if b"spawn_main" in cmdline(int(pid))]
    assert len(readers) == 2
    child.kill()
    until(lambda: not any(cmdline(pid) for pid in readers))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train"], "which photos? .venv/bin/python -m app train DIR"),
        (["train", "missing"], "missing: no such folder"),
        (["train", "{photos}", "--broken", "fail"], "1 photo cannot be read, first "),
        (["train", "{photos}", "--size", "50"], "--size: Input should be a multiple of 32"),
        (
            ["train", "{photos}", "--freeze", "25"],
            "--freeze: must be auto, none, all or a number from 0 to 19",
        ),
        (["train", "{photos}", "--weights", "none", "--epochs", "0"], "no epochs"),
        (["train", "{photos}", "--weights", "none", "--freeze", "3"], "random weights are not"),
        (["train", "{photos}", "--weights", "nothing"], "no origin 'nothing'"),
        (["train", "{photos}", "--amp"], "--amp needs --device gpu"),
        (["train", "{photos}", "--output", "{photos}"], "is not empty; nothing is overwritten"),
        (["train", "{photos}", "--freeze", "all", "--epochs", "5"], ": leave out --epochs"),
        (["train", "--resume", "{photos}"], "is not a run's folder"),
        (["train", "--resume", "{photos}", "--lr", "1"], "--resume goes on with the run's own"),
        (["export", "{photos}"], "is not a run's folder"),
    ],
)
def test_what_cannot_be_is_one_line(
    run: Run, arguments: list[str], message: str, photos: Path
) -> None:
    code, _, err = run(*(argument.format(photos=photos) for argument in arguments))
    assert code == 1
    assert err.splitlines()[-1].startswith("error: ")
    assert message in err.splitlines()[-1]


@pytest.mark.parametrize(
    "arguments",
    [("--output", "{tmp}/taken"), ("--output", "{tmp}/file/run"), ("--weights", "nothing")],
)
def test_what_cannot_be_is_said_before_photos_are_decoded(
    run: Run, arguments: tuple[str, str], photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    (tmp_path / "file").touch()
    option, value = arguments
    code, _, err = run("train", photos, option, value.format(tmp=tmp_path))
    assert code == 1
    assert err.startswith("error: ")
    assert "damaged.png" not in err


def test_photos_on_both_sides_or_of_two_classes_are_told_of(
    run: Run, photos: Path, tmp_path: Path
) -> None:
    for part, numbers in (("train", "0123"), ("test", "345")):
        for label, i in itertools.product(LABELS, numbers):
            (tmp_path / part / label).mkdir(parents=True, exist_ok=True)
            shutil.copy(photos / label / f"{i}.png", tmp_path / part / label)
    short = (*SMALL, "--epochs", 1, "--workers", 0)
    err = run("train", tmp_path, *short, "--output", tmp_path.parent / "leaky").err
    assert "3 photos are held out and also learned from" in err
    assert "two classes" not in err
    for label in LABELS:
        (tmp_path / "test" / label / "3.png").unlink()
    shutil.copy(photos / "cat" / "0.png", tmp_path / "train" / "dog" / "cat.png")
    err = run("train", tmp_path, *short, "--output", tmp_path.parent / "contradictory").err
    assert "held out and" not in err
    assert "1 photo is in two classes" in err


def test_two_runs_begun_at_once_have_a_folder_each(
    run: Run, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert [str(free_folder(photos)) for _ in range(2)] == ["runs/colours-1", "runs/colours-2"]
    assert run("train", photos, *SMALL, "--broken", "fail").code == 1
    # A run that does not begin leaves no folder.
    assert len(list(Path("runs").iterdir())) == 2


def test_so_it_is_for_an_export(run: Run, photos: Path, tmp_path: Path) -> None:
    photos = shutil.copytree(photos, tmp_path / "photos")
    folder = tmp_path / "run"
    run("train", photos, *SMALL, "--epochs", 1, "--workers", 0, "--output", folder)
    shutil.rmtree(photos)
    ended = run("export", folder, "--output", tmp_path)
    message = f"{tmp_path} is not a bundle and is not replaced; choose another path"
    assert ended == (1, "", f"error: {message}\n")


def test_what_was_learned_at_one_size_is_exported_for_another(
    run: Run, trained: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(trained, tmp_path / "run")
    for size in (32, 96):
        assert run("export", folder, "--size", size, "--output", tmp_path / str(size)).code == 0
        bundle = load_bundle(tmp_path / str(size))
        assert bundle.preprocessing.crop == (size, size)
        assert bundle.provenance["input_size"] == {"learned": 32, "exported": size}
    assert run("export", folder).code == 0
    assert load_bundle(folder / "bundle").preprocessing.crop == (32, 32)
    ended = run("export", folder, "--size", 50)
    assert ended == (1, "", "error: --size 50: the size must be a multiple of 32\n")


def test_photos_to_validate_and_test_only_are_not_learned(run: Run, tmp_path: Path) -> None:
    for part in ("val", "test"):
        draw_classes(tmp_path / part, {"cat": 2, "dog": 2})
    code, _, err = run("train", tmp_path, *SMALL)
    assert (code, err) == (1, f"error: {tmp_path} has val, test, but no train to learn from\n")


def test_a_class_without_a_photo_is_not_learned(run: Run, photos: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(photos, tmp_path / "photos")
    for name in ("bird", "fish"):
        (folder / name).mkdir()
    (folder / "bird" / "only.heic").write_bytes(b"not read")
    (folder / "fish" / "only.jpg").write_bytes(b"no photo")
    code, _, err = run("train", folder, *SMALL, "--output", tmp_path / "run")
    assert code == 1
    assert err.splitlines()[-1].startswith(
        "error: no photo to learn from that can be read: bird, fish; files count that end with .a"
    )
    assert not list((tmp_path / "run").iterdir())


@pytest.mark.parametrize("name", ["caf\udce9.png", "two\nlines.png"], ids=["bytes", "lines"])
def test_a_name_that_no_list_can_hold_is_one_line(
    run: Run, photos: Path, tmp_path: Path, name: str
) -> None:
    folder = shutil.copytree(photos, tmp_path / "photos")
    (folder / "cat" / "1.png").rename(folder / "cat" / name)
    code, _, err = run("train", folder, *SMALL, "--output", tmp_path / "run")
    assert code == 1
    assert err.splitlines()[-1] == (
        f"error: {str(folder / 'cat' / name)!r}: rename it: "
        "a name with a line break, or not in UTF-8, cannot stand in a list of photos"
    )
    assert not list((tmp_path / "run").glob("*_list.txt"))


def test_the_numbers_of_a_list_have_no_gap(run: Run, photos: Path, tmp_path: Path) -> None:
    lines = [f"{photos / 'cat' / f'{i}.png'} {1 + i % 2}\n" for i in range(6)]
    (tmp_path / "list.txt").write_text("".join(lines))
    code, _, err = run("train", tmp_path / "list.txt", *SMALL)
    assert code == 1
    assert "error: no photo to learn from that can be read: 0;" in err


@pytest.fixture
def listed(photos: Path, tmp_path: Path) -> Path:
    """A list of 2 cats and 2 dogs in PaddleClas's format, with label files beside it."""
    lines = [f"{photos / name / f'{i}.png'} {number}\n" for number, name in enumerate(LABELS[:2])
             for i in (1, 2)]  # fmt: skip
    (tmp_path / "photos.txt").write_text("".join(lines))
    (tmp_path / "one.txt").write_text("cat\n")
    (tmp_path / "two.txt").write_text("0 tabby cat\n1 dog\n")
    (tmp_path / "three.txt").write_text("cat\ndog\nbird\n")
    return tmp_path / "photos.txt"


def test_labels_name_the_classes_of_a_list(run: Run, listed: Path, tmp_path: Path) -> None:
    options = (*SMALL, "--epochs", 1, "--workers", 0, "--output", tmp_path / "run")
    ended = run("train", listed, "--labels", tmp_path / "two.txt", *options)
    assert ended.code == 0
    assert "--labels" not in ended.err
    assert json.loads((tmp_path / "run" / "settings.json").read_text())["classes"] == [
        "tabby cat",
        "dog",
    ]
    run("export", tmp_path / "run")
    assert load_bundle(tmp_path / "run" / "bundle").labels == ("tabby cat", "dog")


def test_a_list_without_labels_is_told_of_them(run: Run, listed: Path, tmp_path: Path) -> None:
    options = (*SMALL, "--epochs", 1, "--workers", 0, "--output", tmp_path / "run")
    ended = run("train", listed, *options)
    assert ended.code == 0
    assert "the class names are numbers; --labels FILE gives the classes other names" in ended.err


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("one.txt", "photos.txt: class 1, but the last is 0"),
        ("three.txt", "no photo to learn from that can be read: bird;"),
        ("none.txt", "none.txt: the labels cannot be read"),
    ],
)
def test_labels_that_do_not_fit_a_list(run: Run, listed: Path, labels: str, message: str) -> None:
    code, _, err = run("train", listed, "--labels", listed.with_name(labels), *SMALL)
    assert code == 1
    assert message in err.splitlines()[-1]


def test_the_defaults_stand_in_two_places_alike() -> None:
    import inspect  # noqa: PLC0415  (only this test needs it)

    from app.cli.training import train  # noqa: PLC0415  (only this test needs it)

    parameters = inspect.signature(train).parameters
    fields = Options.model_fields
    assert {name: parameters[name].default for name in fields.keys() & parameters.keys()} == {
        name: fields[name].default for name in fields.keys() & parameters.keys()
    }
    assert fields.keys() - parameters.keys() == {"max_pixels"}
