"""`dataset clean` acts on a list of suggestions, deletes nothing, and can be undone."""

from pathlib import Path

import pytest
from commands import Run
from drawn import draw_classes

HEADER = "action,file,move_to"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    photos = tmp_path / "photos"
    draw_classes(photos / "train", {"cat": 3, "dog": 2, "Gänseblümchen": 2})
    draw_classes(photos / "test", {"cat": 2}, first_seed=500)
    return photos


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*.png")}


def write_list(folder: Path, *rows: str, header: str = HEADER) -> Path:
    path = folder / "suggestions.csv"
    path.write_text("\n".join([header, *rows]), encoding="utf-8-sig")
    return path


def test_it_removes_and_moves_and_takes_back(run: Run, photos: Path, tmp_path: Path) -> None:
    before = files(photos)
    suggestions = write_list(
        tmp_path,
        "remove,train/cat/0.png,",
        "Move,train/cat/1.png,dog",
        "move,test/cat/0.png,dog",
        "keep,train/cat/2.png,dog",
        "keep,train/cat/1.png,",
        "remove,train/cat/gone.png,",
    )
    code, out, _ = run("dataset", "clean", photos, "--list", suggestions, "--dry-run")
    assert code == 0
    assert "would be removed: 1, moved to another class: 2, not there any more: 1\n" in out
    assert files(photos) == before
    code, out, _ = run("dataset", "clean", photos, "--list", suggestions)
    assert code == 0
    assert "removed: 1, moved to another class: 2, not there any more: 1\n" in out
    removed = tmp_path / "photos-removed"
    assert f"dataset clean {photos} --undo {removed}" in out
    assert files(removed) == {"train/cat/0.png": before["train/cat/0.png"]}
    after = files(photos)
    # The class dog had a photo of this name, and the part test had no photo of a dog.
    assert after["train/dog/1.png"] == before["train/dog/1.png"]
    assert after["train/dog/1-2.png"] == before["train/cat/1.png"]
    assert after["test/dog/0.png"] == before["test/cat/0.png"]
    assert len(after) == len(before) - 1
    code, out, _ = run("dataset", "clean", photos, "--undo", removed)
    assert (code, out) == (0, "3 photos are back where they were\n")
    assert files(photos) == before
    assert run("dataset", "clean", photos, "--undo", removed).code == 1


def test_two_lists_are_taken_back_in_the_reverse_order(
    run: Run, photos: Path, tmp_path: Path
) -> None:
    before = files(photos)
    for row in ("move,train/cat/1.png,Gänseblümchen", "remove,train/Gänseblümchen/1-2.png,"):
        assert run("dataset", "clean", photos, "--list", write_list(tmp_path, row)).code == 0
    assert len(files(photos)) == len(before) - 1
    run("dataset", "clean", photos, "--undo", tmp_path / "photos-removed")
    assert files(photos) == before


def test_a_link_that_leads_nowhere_from_its_new_place_is_taken_back(
    run: Run, photos: Path, tmp_path: Path
) -> None:
    link = photos / "train" / "cat" / "link.png"
    link.symlink_to(Path("..") / "dog" / "1.png")
    removed = tmp_path / "far" / "away"
    suggestions = write_list(tmp_path, "remove,train/cat/link.png,")
    assert run("dataset", "clean", photos, "--list", suggestions, "--to", removed).code == 0
    assert not link.is_symlink()
    code, out, _ = run("dataset", "clean", photos, "--undo", removed)
    assert (code, out) == (0, "1 photos are back where they were\n")
    assert link.is_file()


def test_a_place_that_is_taken_again_is_not_overwritten(
    run: Run, photos: Path, tmp_path: Path
) -> None:
    run("dataset", "clean", photos, "--list", write_list(tmp_path, "remove,train/cat/0.png,"))
    (photos / "train" / "cat" / "0.png").write_bytes(b"new")
    code, _, err = run("dataset", "clean", photos, "--undo", tmp_path / "photos-removed")
    assert code == 1
    assert "exists again: move it away" in err
    assert (photos / "train" / "cat" / "0.png").read_bytes() == b"new"


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (["delete,train/cat/0.png,"], "suggestions.csv:2: the action is 'delete', not keep, "),
        (["move,train/cat/0.png,bird"], "cannot be moved: there is no class 'bird'"),
        (["remove,../outside.png,"], "../outside.png lies outside"),
        (
            ["remove,train/cat/0.png,", "move,train/cat/0.png,dog"],
            "train/cat/0.png has two rows that contradict each other",
        ),
    ],
)
def test_a_wrong_row_stops_it_before_it_begins(
    run: Run, photos: Path, tmp_path: Path, rows: list[str], expected: str
) -> None:
    (tmp_path / "outside.png").write_bytes(b"mine")
    before = files(tmp_path)
    suggestions = write_list(tmp_path, "remove,train/dog/0.png,", *rows)
    if "delete" in rows[0]:
        suggestions = write_list(tmp_path, *rows)
    code, _, err = run("dataset", "clean", photos, "--list", suggestions)
    assert code == 1
    assert expected in err
    assert files(tmp_path) == before


def test_a_spreadsheet_may_separate_by_semicolons(run: Run, photos: Path, tmp_path: Path) -> None:
    suggestions = write_list(tmp_path, "remove;train/cat/0.png;", header=HEADER.replace(",", ";"))
    assert run("dataset", "clean", photos, "--list", suggestions, "--to", tmp_path / "x").code == 0
    assert list(files(tmp_path / "x")) == ["train/cat/0.png"]


def test_what_it_cannot_act_on_is_one_line(run: Run, photos: Path, tmp_path: Path) -> None:
    suggestions = write_list(tmp_path, "remove,train/cat/0.png,")
    for arguments, expected in (
        ((photos,), "name the list of suggestions with --list"),
        ((tmp_path / "none", "--list", suggestions), "no such folder"),
        ((photos, "--list", tmp_path / "none.csv"), "cannot be read"),
        ((photos, "--list", suggestions, "--to", photos / "x"), "would become a class of it"),
    ):
        code, _, err = run("dataset", "clean", *arguments)
        assert code == 1
        assert expected in err
    (photos / "train_list.txt").write_text("train/cat/0.png 0\n")
    assert "edit these instead" in run("dataset", "clean", photos, "--list", suggestions).err
    (tmp_path / "suggestions.csv").write_text("name,file\n")
    (photos / "train_list.txt").unlink()
    assert "it lacks action" in run("dataset", "clean", photos, "--list", suggestions).err
