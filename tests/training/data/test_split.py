"""`dataset split`: by class, by content, the same for a seed, and never over what is there."""

import shutil
from collections import Counter
from pathlib import Path

import pytest
from commands import Run
from drawn import draw_classes

from app.training.data.dataset import read_dataset
from app.training.data.split import choose


@pytest.fixture
def place(tmp_path: Path) -> Path:
    place = tmp_path / "photos"
    draw_classes(place, {"cat": 20, "dog": 10, "Gänseblümchen": 2})
    return place


def files(place: Path) -> set[str]:
    return {str(path.relative_to(place)) for path in place.rglob("*.png")}


def count(place: Path) -> Counter[str]:
    return Counter(path.parent.name for path in place.rglob("*.png"))


def test_each_class_is_divided(run: Run, place: Path, tmp_path: Path) -> None:
    output = tmp_path / "new" / "out"
    code, out, _ = run("dataset", "split", place, output, "--share", 0.3)
    assert code == 0
    assert out == f"22 photos in {output / 'train'}, 10 in {output / 'test'}\n"
    assert count(output / "test") == {"cat": 6, "dog": 3, "Gänseblümchen": 1}
    assert files(output / "train") | files(output / "test") == files(place)
    assert not files(output / "train") & files(output / "test")
    name = min(files(output / "test"))
    assert (output / "test" / name).read_bytes() == (place / name).read_bytes()
    assert [path.name for path in output.parent.iterdir()] == ["out"]  # nothing half done is left


def test_a_seed_chooses(run: Run, place: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run("dataset", "split", place, tmp_path / name, "--seed", seed)
    chosen = {name: files(tmp_path / name / "test") for name in "abc"}
    assert chosen["a"] == chosen["b"] != chosen["c"]


def test_equal_files_stay_together(run: Run, place: Path, tmp_path: Path) -> None:
    for i in range(20):
        shutil.copy(place / "cat" / f"{i}.png", place / "cat" / f"{i} again.png")
        shutil.copy(place / "cat" / f"{i}.png", place / "dog" / f"cat {i}.png")
    assert run("dataset", "split", place, tmp_path / "out", "--share", 0.5).code == 0
    contents = [
        {path.read_bytes() for path in (tmp_path / "out" / part).rglob("*.png")}
        for part in ("train", "test")
    ]
    assert not contents[0] & contents[1]
    assert len(contents[1]) > 10


def test_copies_of_one_file_are_not_all_there_is_to_test(place: Path) -> None:
    for i in range(5):
        (place / "dog" / f"not found {i}.png").write_bytes(b"<html>404</html>")
    data = read_dataset(place)
    for seed in range(20):  # 3 of 15, and the 5 that are equal are too many
        chosen = {path.name for path in choose(data, 0.2, seed) if path.parent.name == "dog"}
        assert len(chosen) == 3
        assert not any(name.startswith("not") for name in chosen)


def test_of_pairs_one_is_tested_on(tmp_path: Path) -> None:
    draw_classes(tmp_path, {"cat": 3})
    for i in range(3):
        shutil.copy(tmp_path / "cat" / f"{i}.png", tmp_path / "cat" / f"{i} again.png")
    assert len(choose(read_dataset(tmp_path), 0.1, seed=0)) == 2


def test_a_lone_photo_is_learnt_from(run: Run, tmp_path: Path) -> None:
    draw_classes(tmp_path / "few", {"cat": 1, "dog": 3})
    assert run("dataset", "split", tmp_path / "few", tmp_path / "out", "--share", 0.99).code == 0
    assert count(tmp_path / "out" / "train") == {"cat": 1, "dog": 1}
    assert count(tmp_path / "out" / "test") == {"dog": 2}


def test_hard_links_take_no_room(run: Run, place: Path, tmp_path: Path) -> None:
    assert run("dataset", "split", place, tmp_path / "out", "--link").code == 0
    for name in files(tmp_path / "out" / "train"):
        assert (tmp_path / "out" / "train" / name).samefile(place / name)


def test_nothing_is_overwritten(run: Run, place: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    code, _, err = run("dataset", "split", place, tmp_path / "out")
    assert code == 1
    assert err == f"error: {tmp_path / 'out'} is there already; nothing is overwritten\n"
    code, _, err = run("dataset", "split", place, place / "out")
    assert code == 1
    assert "lies within" in err
    assert list((tmp_path / "out").iterdir()) == []
    assert not (place / "out").exists()


def test_what_is_divided_is_not_divided_again(run: Run, place: Path, tmp_path: Path) -> None:
    run("dataset", "split", place, tmp_path / "out")
    code, _, err = run("dataset", "split", tmp_path / "out", tmp_path / "again")
    assert code == 1
    assert err == f"error: {tmp_path / 'out'} has its parts already: train, test\n"
    assert not (tmp_path / "again").exists()
