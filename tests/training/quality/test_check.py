"""`dataset check` finds the problems of labelled photos and names them."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from commands import Run
from drawn import COLOURS, draw, draw_classes
from PIL import Image

from app.training.data.dataset import read_dataset


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A sound data set: 4, 3 and 2 photos to train on, 2, 1 and 1 photos to test on."""
    photos = tmp_path / "photos"
    draw_classes(photos / "train", {"cat": 4, "dog": 3, "Gänseblümchen": 2})
    draw_classes(photos / "test", {"cat": 2, "dog": 1, "Gänseblümchen": 1}, first_seed=500)
    return photos


def check(run: Run, photos: Path, *options: str) -> tuple[int, dict[str, Any]]:
    ended = run("dataset", "check", photos, "--json", "--quick", *options)
    return ended.code, json.loads(ended.out)


def test_a_log_gets_lines_and_standard_output_stays_json(run: Run, photos: Path) -> None:
    """The test's standard error is no terminal."""
    ended = run("dataset", "check", photos, "--json", "--quick")
    assert json.loads(ended.out)["sound"]
    first, last = ended.err.splitlines()
    assert first.startswith("checking photos: 13 photos in ")
    assert first.endswith(" photos/s")
    assert last.startswith("took ")


def names(groups: list[list[str]]) -> list[list[str]]:
    return [["/".join(Path(file).parts[-3:]) for file in group] for group in groups]


def test_a_sound_one(run: Run, photos: Path) -> None:
    draw(photos / "train" / "dog" / "wide.png", COLOURS["dog"], 77, size=(300, 100))
    code, found = check(run, photos)
    assert (code, found["sound"]) == (0, True)
    train = found["parts"]["train"]
    assert train["photos"] == 10
    assert train["classes"] == {"Gänseblümchen": 2, "cat": 4, "dog": 4}
    assert train["width"] == {"min": 90, "median": 90, "max": 300}
    assert train["height"] == {"min": 80, "median": 80, "max": 100}
    assert found["parts"]["test"]["photos"] == 4


def test_tables(run: Run, photos: Path) -> None:
    code, out, _ = run("dataset", "check", "--quick", photos)
    assert code == 0
    assert "2 to 4" in out
    assert "90 / 90 / 90" in out
    assert out.splitlines()[-1] == "sound"


def test_broken_files_are_named(run: Run, photos: Path) -> None:
    whole = (photos / "train" / "cat" / "0.png").read_bytes()
    (photos / "train" / "cat" / "half.png").write_bytes(whole[:3000])
    (photos / "test" / "dog" / "text.jpg").write_text("no photo")
    code, found = check(run, photos)
    assert code == 1
    broken = {Path(row["file"]).name: row["code"] for row in found["broken"]}
    assert broken == {"half.png": "broken_image", "text.jpg": "unsupported_image"}
    assert "half.png: The PNG image is truncated" in run("dataset", "check", "--quick", photos).out


def test_a_leak_is_an_error(run: Run, photos: Path) -> None:
    shutil.copy(photos / "train" / "cat" / "0.png", photos / "test" / "cat" / "new name.png")
    code, found = check(run, photos)
    assert code == 1
    assert names(found["leaks"]) == [["train/cat/0.png", "test/cat/new name.png"]]
    assert found["duplicates"] == found["contradictions"] == []


def test_the_same_picture_in_another_file_leaks_by_its_pixels(run: Run, photos: Path) -> None:
    with Image.open(photos / "train" / "cat" / "0.png") as image:
        image.save(photos / "test" / "cat" / "again.bmp")
    code, found = check(run, photos)
    assert code == 1
    assert found["leaks"] == []
    (near,) = found["near_duplicates"]
    assert near["kind"] == "leak"
    assert names([near["files"]]) == [["train/cat/0.png", "test/cat/again.bmp"]]
    code, found = check(run, photos, "--pixels")
    assert code == 1
    assert found["near_duplicates"] == []
    assert names(found["leaks"]) == [["train/cat/0.png", "test/cat/again.bmp"]]


def test_one_photo_of_two_classes_is_an_error(run: Run, photos: Path) -> None:
    shutil.copy(photos / "train" / "cat" / "0.png", photos / "train" / "dog" / "cat.png")
    code, found = check(run, photos)
    assert code == 1
    assert names(found["contradictions"]) == [["train/cat/0.png", "train/dog/cat.png"]]


def test_a_photo_that_is_there_twice_is_only_named(run: Run, photos: Path) -> None:
    shutil.copy(photos / "train" / "cat" / "0.png", photos / "train" / "cat" / "again.png")
    code, found = check(run, photos)
    assert code == 0
    assert names(found["duplicates"]) == [["train/cat/0.png", "train/cat/again.png"]]


def test_a_class_that_nobody_learns_is_an_error(run: Run, photos: Path) -> None:
    draw(photos / "test" / "cta" / "0.png", COLOURS["cat"], 900)
    code, found = check(run, photos)
    assert code == 1
    assert found["unknown_classes"] == ["cta"]


def test_a_class_without_a_photo_to_learn_from_is_an_error(run: Run, photos: Path) -> None:
    (photos / "train" / "bird").mkdir()
    (photos / "train" / "fish").mkdir()
    (photos / "train" / "fish" / "0.png").write_text("no photo")
    (photos / "test" / "bird").mkdir()
    draw(photos / "test" / "fish" / "0.png", COLOURS["cat"], 900)
    code, found = check(run, photos)
    assert code == 1
    assert found["empty_classes"] == ["bird", "fish"]
    assert "no photo: bird" in run("dataset", "check", "--quick", photos).out


def test_a_class_may_lack_photos_to_test(run: Run, photos: Path) -> None:
    shutil.rmtree(photos / "test" / "cat")
    (photos / "test" / "dog" / "0.png").unlink()
    code, found = check(run, photos)
    assert (code, found["empty_classes"]) == (0, [])


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["table", "json"])
def test_a_broken_file_with_a_broken_name(run: Run, photos: Path, form: list[str]) -> None:
    (photos / "train" / "cat" / "caf\udce9.png").write_text("no photo")
    code, out, _ = run("dataset", "check", "--quick", photos, *form)
    assert code == 1
    assert "caf\\udce9.png" in out


def test_a_class_whose_name_is_not_utf8_is_one_line(run: Run, photos: Path) -> None:
    draw(photos / "train" / "caf\udce9" / "0.png", COLOURS["cat"], 700)
    code, _, err = run("dataset", "check", "--quick", photos)
    assert code == 1
    assert err == (
        f"error: {photos / 'train'}: rename the folder 'caf\\udce9': "
        "a class's name must be one line of UTF-8\n"
    )


def test_files_that_are_no_photos_by_their_names_are_told_of(run: Run, photos: Path) -> None:
    for name in ("a.JXL", "b.jxl", "notes.txt", "unnamed"):
        (photos / "train" / "cat" / name).write_bytes(b"not read")
    code, found = check(run, photos)
    assert (code, found["sound"]) == (0, True)
    assert found["parts"]["train"]["not_counted"] == {".jxl": 2, ".txt": 1, "": 1}
    assert found["parts"]["test"]["not_counted"] == {}
    out = run("dataset", "check", "--quick", photos).out
    assert "not counted in train: 2 .jxl, 1 .txt, 1 without an extension\n" in out
    assert "not counted in test" not in out


@pytest.mark.parametrize("name", ["._0.png", ".ipynb_checkpoints/0.png", "x/.thumbnails/0.png"])
def test_hidden_files_are_no_photos(run: Run, photos: Path, name: str) -> None:
    hidden = photos / "train" / "cat" / name
    hidden.parent.mkdir(parents=True, exist_ok=True)
    hidden.write_bytes(b"no photo")
    code, found = check(run, photos)
    assert code == 0
    assert found["parts"]["train"]["classes"]["cat"] == 4
    assert found["parts"]["train"]["not_counted"] == {}


def test_folders_with_numbers_for_names_stand_in_their_order(tmp_path: Path) -> None:
    for number in range(11):
        draw(tmp_path / str(number) / "0.png", COLOURS["cat"], number)
    data = read_dataset(tmp_path)
    assert data.classes == tuple(map(str, range(11)))
    assert all(sample.path.parent.name == str(sample.class_id) for sample in data.samples)
    (tmp_path / "x").mkdir()
    assert read_dataset(tmp_path).classes[:3] == ("0", "1", "10")


def test_photos_without_a_folder_of_their_class(run: Run, photos: Path) -> None:
    code, _, err = run("dataset", "check", "--quick", photos / "train" / "cat")
    assert code == 1
    assert err == (
        f"error: {photos / 'train' / 'cat'}: there are no photos in it: "
        "put them into a folder per class, as in DIR/cat/1.jpg\n"
    )


def test_one_folder_of_classes(run: Run, photos: Path) -> None:
    code, found = check(run, photos / "train")
    assert code == 0
    assert list(found["parts"]) == ["train"]
    assert found["parts"]["train"]["photos"] == 9


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Validation"])
def test_a_validation_part_has_several_names(run: Run, photos: Path, name: str) -> None:
    draw_classes(photos / name, {"cat": 1}, first_seed=700)
    code, found = check(run, photos)
    assert code == 0
    assert list(found["parts"]) == ["train", "val", "test"]


def test_training_and_testing_are_parts_too(run: Run, photos: Path) -> None:
    for part in ("train", "test"):
        (photos / part).rename(photos / f"{part.title()}ing")
    code, found = check(run, photos)
    assert code == 0
    assert list(found["parts"]) == ["train", "test"]
    assert found["parts"]["train"]["classes"] == {"Gänseblümchen": 2, "cat": 4, "dog": 3}


@pytest.mark.parametrize(
    ("stray", "expected"),
    [
        (
            ["dog", "cat"],
            "parts of a data set, test, train, and other folders beside them, cat, dog",
        ),
        (["val", "valid"], "test, train, valid, and other folders beside them, val:"),
        ([f"stray{i}" for i in range(7)], "stray0, stray1, stray2, stray3, stray4 and 2 more:"),
    ],
)
def test_parts_and_other_folders_are_not_mixed(
    run: Run, photos: Path, stray: list[str], expected: str
) -> None:
    for i, name in enumerate(stray):
        draw(photos / name / "0.png", COLOURS["cat"], 700 + i)
    code, out, err = run("dataset", "check", "--quick", photos)
    assert (code, out) == (1, "")
    assert err.startswith(f"error: {photos} has parts of a data set, ")
    assert expected in err


def test_among_vehicles_train_is_a_class(run: Run, tmp_path: Path) -> None:
    for i, name in enumerate(("bus", "train")):
        draw(tmp_path / name / "0.png", COLOURS["cat"], i)
    code, found = check(run, tmp_path)
    assert code == 0
    assert found["parts"][tmp_path.name]["classes"] == {"bus": 1, "train": 1}


def test_a_list_file_may_begin_with_a_byte_order_mark(run: Run, photos: Path) -> None:
    text = "train/cat/0.png 0\ntrain/dog/0.png 1\n"
    (photos / "train_list.txt").write_text(text, encoding="utf-8-sig")
    code, found = check(run, photos / "train_list.txt")
    assert (code, found["broken"]) == (0, [])


def test_list_files(run: Run, photos: Path) -> None:
    (photos / "train_list.txt").write_text("train/cat/0.png 0\ntrain/dog/0.png\t1\n")
    (photos / "test_list.txt").write_text("test/cat/0.png 0\ntrain/dog/0.png 1\ntest/no.png 0\n")
    code, found = check(run, photos)
    assert code == 1
    assert found["parts"]["train"]["classes"] == {"0": 1, "1": 1}
    assert found["parts"]["test"]["classes"] == {"0": 2, "1": 1}
    assert names(found["leaks"]) == [["train/dog/0.png", "train/dog/0.png"]]
    assert [Path(row["file"]).name for row in found["broken"]] == ["no.png"]
    code, found = check(run, photos / "train_list.txt")
    assert code == 0
    assert list(found["parts"]) == ["train_list.txt"]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"a.png 0\ncat.png\n", "list.txt:2: not of the form"),
        (b"cat.png cat\n", "list.txt:1: not of the form"),
        (b"\n", "list.txt: there are no photos in it"),
        (b"\xff\xd8\xff", "list.txt is no list file"),
    ],
)
def test_a_list_of_no_use_is_one_line(run: Run, tmp_path: Path, data: bytes, expected: str) -> None:
    (tmp_path / "list.txt").write_bytes(data)
    code, _, err = run("dataset", "check", "--quick", tmp_path / "list.txt")
    assert code == 1
    assert expected in err
    assert err.count("\n") == 1
