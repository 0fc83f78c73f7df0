"""What the commands say when something is in the way: plain words, and nothing half written."""

import json
import re
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from commands import Run
from drawn import COLOURS, draw, draw_classes

from app import disk
from app.errors import DiskFull
from app.training.copies import inspection
from app.training.network.freezing import SEGMENTS
from app.training.options import LAST_SEGMENT
from app.training.run.checkpoint import Checkpoint, load_checkpoint

ROOT = Path(__file__).parents[2]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    draw_classes(tmp_path / "photos", {"cat": 3, "dog": 3})
    return tmp_path / "photos"


def test_no_pattern_is_shown_for_an_unknown_number_of_layers(run: Run, photos: Path) -> None:
    code, _, err = run("train", photos, "--freeze", 25)
    assert code == 1
    assert err == "error: --freeze: must be auto, none, all or a number from 0 to 19\n"
    assert LAST_SEGMENT == SEGMENTS


def test_an_empty_file_on_disk_was_not_uploaded(run: Run, photos: Path, small_bundle: Path) -> None:
    (photos / "cat" / "empty.png").touch()
    outputs = [
        run("predict", photos / "cat" / "empty.png", "--model-dir", small_bundle).out,
        run("evaluate", small_bundle, photos).out,
        run("dataset", "check", photos).out,
    ]
    for output in outputs:
        assert "The file is empty" in output
        assert "upload" not in output.lower()


def test_too_many_pixels_name_the_setting(
    run: Run, photos: Path, small_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLASSIFIER_MAX_PIXELS", "7000")
    draw(photos / "dog" / "small.png", COLOURS["dog"], 1, (50, 50))
    draw(photos / "cat" / "small.png", COLOURS["cat"], 1, (50, 50))
    large = photos / "cat" / "0.png"
    hint = "at most 0.007 megapixels are allowed; CLASSIFIER_MAX_PIXELS sets the limit"
    assert hint in run("predict", large, "--model-dir", small_bundle).out
    assert hint in run("evaluate", small_bundle, photos).out
    assert hint in run("evaluate", small_bundle, photos, "--broken", "fail").err
    assert hint in run("dataset", "check", photos).out
    assert hint in run("train", photos, "--weights", "none", "--broken", "fail").err


def test_folders_may_have_labels_and_numbers(run: Run, photos: Path, small_bundle: Path) -> None:
    """The number 1 is the dog's; a folder of the number and one of the label are one class."""
    (photos / "dog").rename(photos / "1")
    ended = run("evaluate", small_bundle, photos)
    assert ended.code == 0, ended.err
    assert json.loads(ended.out.splitlines()[-1])["recall_by_class"].keys() == {"cat", "dog"}
    draw(photos / "dog" / "more.png", COLOURS["dog"], 50)
    ended = run("evaluate", small_bundle, photos)
    assert json.loads(ended.out.splitlines()[-1])["photos"] == 7
    (photos / "1").rename(photos / "3")
    code, _, err = run("evaluate", small_bundle, photos)
    assert code == 1
    assert "no class is called '3': rename the folder to a label or to a number from 0 to 2" in err


def test_links_to_nothing_are_named(run: Run, photos: Path, small_bundle: Path) -> None:
    (photos / "cat" / "gone.png").symlink_to("/nowhere/cat.png")
    says = f"{photos / 'cat' / 'gone.png'}: The link leads to nothing: /nowhere/cat.png"
    checked = run("dataset", "check", photos)
    assert checked.code == 1
    assert f"broken: {says}" in checked.out
    assert says in run("evaluate", small_bundle, photos).out
    assert f"broken: {says}" in run("train", photos, "--weights", "none", "--broken", "fail").err
    split = run("dataset", "split", photos, photos.parent / "divided")
    assert split.code == 1
    assert "gone.png is a link that leads to nothing: mend or remove it" in split.err
    assert not (photos.parent / "divided").exists()
    (photos / "bird").symlink_to("/nowhere/bird")
    code, _, err = run("dataset", "check", photos)
    assert code == 1
    assert err == (f"error: links that lead to nothing: {photos / 'bird'}: mend or remove them\n")


def test_few_photos_small_ones_and_one_class_are_warned_of(run: Run, tmp_path: Path) -> None:
    draw_classes(tmp_path / "both", {"cat": 50, "dog": 4})
    ended = run("dataset", "check", tmp_path / "both")
    assert ended.code == 0
    warnings = [line for line in ended.out.splitlines() if line.startswith("warning: ")]
    assert warnings[0].startswith("warning: few photos to learn from: dog 4; with fewer than 15")
    assert warnings[1].startswith(
        "warning: the classes are unequal, from cat with 50 photos to dog"
    )
    assert warnings[2].startswith("warning: 54 photos are smaller than the network's input, 224 x")
    document = json.loads(run("dataset", "check", tmp_path / "both", "--json").out)
    assert [f"warning: {text}" for text in document["warnings"]] == warnings

    draw_classes(tmp_path / "one", {"cat": 20})
    alone = "there is only one class, cat: "
    assert f"warning: {alone}" in run("dataset", "check", tmp_path / "one").out
    code, _, err = run("train", tmp_path / "one", "--weights", "none")
    assert code == 1
    assert err.splitlines()[-1].startswith(f"error: {alone}training needs two or more")


def test_a_class_that_nobody_tests_is_warned_of(run: Run, tmp_path: Path) -> None:
    draw_classes(tmp_path / "train", {"cat": 20, "dog": 20})
    draw_classes(tmp_path / "test", {"cat": 3}, first_seed=700)
    ended = run("dataset", "check", tmp_path)
    assert "warning: no photo tells how well these classes are recognised: dog" in ended.out


@pytest.mark.parametrize(
    "arguments",
    [
        ("dataset", "check", "{photos}"),
        ("train", "{photos}", "--weights", "none"),
        ("predict", "{photos}", "--model-dir", "{bundle}"),
        ("evaluate", "{bundle}", "{photos}"),
        ("summary",),
        ("weights", "list"),
    ],
    ids=" ".join,
)
def test_ctrl_c_is_no_error(
    run: Run,
    photos: Path,
    small_bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
) -> None:
    """The signal comes while the command reads photos, or while it draws its table."""

    def interrupted(*_: object, **__: object) -> None:
        signal.raise_signal(signal.SIGINT)

    from app.model import offline  # noqa: PLC0415
    from app.training.network import summary  # noqa: PLC0415
    from app.training.weights import sources  # noqa: PLC0415

    monkeypatch.setattr(inspection, "decode_full", interrupted)
    monkeypatch.setattr(inspection, "inspect", interrupted)
    monkeypatch.setattr("app.training.run.photos.inspect", interrupted)
    monkeypatch.setattr(offline, "classify", interrupted)
    monkeypatch.setattr(summary, "print_summary", interrupted)
    monkeypatch.setattr(sources, "read_sources", interrupted)
    words = (word.format(photos=photos, bundle=small_bundle) for word in arguments)
    code, _, err = run(*words)
    assert code == 130
    assert err.splitlines()[-1] == "stopped"
    assert "error" not in err


def test_ctrl_c_leaves_no_half_of_a_split(
    run: Run, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, copied = shutil.copy2, []

    def interrupted(source: Path, target: Path) -> None:
        copied.append(copy(source, target))
        if len(copied) == 3:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(shutil, "copy2", interrupted)
    code, out, err = run("dataset", "split", photos, photos.parent / "divided")
    assert (code, out, err.splitlines()[-1]) == (130, "", "stopped")
    assert len(copied) == 3
    assert list(photos.parent.iterdir()) == [photos]


def full(path: Path) -> None:
    """Let the file that will be written for `path` be one on a full disk."""
    path.with_name(f"{path.name}.part").symlink_to("/dev/full")


def test_a_full_disk_names_the_file_and_the_need_and_keeps_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "last.npz"
    Checkpoint({"network": {"weight": np.zeros(10)}}, {"epoch": 1}).save(file)
    full(file)
    with pytest.raises(
        DiskFull, match=r"last\.npz cannot be written: No space left on device: it needs 8\.0 MB, "
    ):
        Checkpoint({"network": {"weight": np.zeros(1_000_000)}}, {"epoch": 2}).save(file)
    assert [path.name for path in tmp_path.iterdir()] == ["last.npz"]
    assert load_checkpoint(file).place == {"epoch": 1}
    full(file)
    with pytest.raises(DiskFull, match="it needs 5 bytes, and "):
        disk.write_text(file, "täxt")
    assert [path.name for path in tmp_path.iterdir()] == ["last.npz"]


def limited(size: int) -> Callable[[], None]:
    """Return what a child does at its start: no file of it may be larger than `size` bytes."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def in_vain(size: int, *arguments: object) -> str:
    """Run a command that may not write files larger than `size`; return its one line."""
    ended = subprocess.run(
        [sys.executable, "-m", "app", *map(str, arguments)],
        cwd=ROOT,
        preexec_fn=limited(size),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1, ended.stderr
    assert "Traceback" not in ended.stderr
    return ended.stderr.splitlines()[-1]


@pytest.mark.slow
def test_a_run_that_finds_no_room_can_go_on(run: Run, photos: Path, tmp_path: Path) -> None:
    draw_classes(photos, {"cat": 6, "dog": 6})
    folder = tmp_path / "run"
    small = ("--weights", "none", "--scale", 0.25, "--size", 32, "--epochs", 2, "--workers", 0)
    line = in_vain(1_500_000, "train", photos, *small, "--output", folder)
    assert line.startswith(f"error: {folder / 'last.npz'} cannot be written: File too large: it ")
    assert line.endswith(
        f"make room, then go on with: .venv/bin/python -m app train --resume {folder}"
    )
    assert not list(folder.glob("*.part"))
    ended = run("train", "--resume", folder)
    assert ended.code == 0
    assert json.loads(ended.out.splitlines()[-1])["epochs"] == 2

    line = in_vain(300_000, "export", folder)
    assert re.search(
        r"^error: /\S+/bundle cannot be written: File too large: it needs 0\.9 MB, and ", line
    )
    assert not (folder / "bundle").exists()
    assert not list(folder.glob(".building-*"))


@pytest.mark.slow
def test_a_split_or_a_pack_without_room_leaves_nothing(
    photos: Path, small_bundle: Path, tmp_path: Path
) -> None:
    line = in_vain(5000, "dataset", "split", photos, tmp_path / "divided")
    assert line.startswith(f"error: {tmp_path / 'divided'} cannot be written: File too large: it ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos"]
    line = in_vain(5000, "weights", "pack", small_bundle, "--output", tmp_path / "bundle.tar")
    assert line.startswith(f"error: {tmp_path / 'bundle.tar'} cannot be written: File too large: ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos"]


def test_a_split_asks_for_room_before_it_copies(
    run: Run, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    code, _, err = run("dataset", "split", photos, tmp_path / "divided")
    assert code == 1
    assert err.splitlines()[-1].startswith(
        f"error: {tmp_path / 'divided'} cannot be written: there is not enough space: it needs 0.1"
    )
    assert "1,000 bytes are free" in err
    assert run("dataset", "split", photos, tmp_path / "divided", "--link").code == 0
