"""`dataset split` divides by class and by content, repeats for a seed, and overwrites nothing."""

import hashlib
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from commands import Run
from drawn import draw_classes
from photo_copies import mirrored, resized, scene

from app.training.data.dataset import Dataset, read_dataset
from app.training.data.split import choose


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    photos = tmp_path / "photos"
    draw_classes(photos, {"cat": 20, "dog": 10, "Gänseblümchen": 2})
    return photos


def contents(data: Dataset) -> dict[Path, str]:
    return {s.path: hashlib.sha256(s.path.read_bytes()).hexdigest() for s in data.samples}


def files(photos: Path) -> set[str]:
    return {str(path.relative_to(photos)) for path in photos.rglob("*.png")}


def count(photos: Path) -> Counter[str]:
    return Counter(path.parent.name for path in photos.rglob("*.png"))


def test_each_class_is_divided(run: Run, photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "new" / "out"
    code, out, _ = run("dataset", "split", photos, output, "--share", 0.3)
    assert code == 0
    assert out == f"22 photos in {output / 'train'}, 10 in {output / 'test'}\n"
    assert count(output / "test") == {"cat": 6, "dog": 3, "Gänseblümchen": 1}
    assert files(output / "train") | files(output / "test") == files(photos)
    assert not files(output / "train") & files(output / "test")
    name = min(files(output / "test"))
    assert (output / "test" / name).read_bytes() == (photos / name).read_bytes()
    # The temporary folder is gone.
    assert [path.name for path in output.parent.iterdir()] == ["out"]


def test_a_seed_chooses(run: Run, photos: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run("dataset", "split", photos, tmp_path / name, "--seed", seed)
    chosen = {name: files(tmp_path / name / "test") for name in "abc"}
    assert chosen["a"] == chosen["b"] != chosen["c"]


def test_equal_files_stay_together(run: Run, photos: Path, tmp_path: Path) -> None:
    for i in range(20):
        shutil.copy(photos / "cat" / f"{i}.png", photos / "cat" / f"{i} again.png")
        shutil.copy(photos / "cat" / f"{i}.png", photos / "dog" / f"cat {i}.png")
    assert run("dataset", "split", photos, tmp_path / "out", "--share", 0.5).code == 0
    contents = [
        {path.read_bytes() for path in (tmp_path / "out" / part).rglob("*.png")}
        for part in ("train", "test")
    ]
    assert not contents[0] & contents[1]
    assert len(contents[1]) > 10


def test_near_duplicates_stay_together(run: Run, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    for seed in range(12):
        name = "cat" if seed < 6 else "dog"
        (photos / name).mkdir(parents=True, exist_ok=True)
        picture = scene(seed)
        picture.save(photos / name / f"{seed}.png")
        picture.save(photos / name / f"{seed} again.jpg", quality=60)
        mirrored(resized(picture, 0.6)).save(photos / "cat" / f"{seed} mirrored.png")
    assert run("dataset", "split", photos, tmp_path / "out", "--share", 0.4).code == 0
    groups = [
        {
            path.name.split()[0].removesuffix(".png")
            for path in (tmp_path / "out" / part).rglob("*.*")
        }
        for part in ("train", "test")
    ]
    assert not groups[0] & groups[1]
    assert len(groups[0] | groups[1]) == 12
    assert len(groups[1]) >= 4


def test_copies_of_one_file_are_not_all_there_is_to_test(photos: Path) -> None:
    for i in range(5):
        (photos / "dog" / f"not found {i}.png").write_bytes(b"<html>404</html>")
    data = read_dataset(photos)
    # 3 of 15 photos are wanted, so the group of 5 identical files is too large.
    for seed in range(20):
        chosen = {
            path.name
            for path in choose(data, 0.2, seed, contents(data))
            if path.parent.name == "dog"
        }
        assert len(chosen) == 3
        assert not any(name.startswith("not") for name in chosen)


def test_of_pairs_one_is_tested_on(tmp_path: Path) -> None:
    draw_classes(tmp_path, {"cat": 3})
    for i in range(3):
        shutil.copy(tmp_path / "cat" / f"{i}.png", tmp_path / "cat" / f"{i} again.png")
    data = read_dataset(tmp_path)
    assert len(choose(data, 0.1, 0, contents(data))) == 2


def write_groups(folder: Path, sizes: Sequence[int]) -> None:
    """Write a group of identical files for each size. `choose` does not decode the files."""
    folder.mkdir(parents=True)
    for group, size in enumerate(sizes):
        for i in range(size):
            (folder / f"{group}-{i}.png").write_text(f"group {group}")


@pytest.mark.parametrize(
    ("sizes", "share", "tested"),
    [
        # 2 photos are wanted, so both groups of 10 are too large.
        ((1, 10, 10), 0.1, 1),
        ((2, 3, 10), 0.1, 2),
        ((1, 1, 1, 7), 0.5, 3),
        # Every group is larger than wanted, so the class gives its smallest group.
        ((3, 3, 3), 0.1, 3),
        ((4, 9, 5), 0.1, 4),
        ((5, 5), 0.2, 5),
        # Both groups are wanted, and one of them stays in train.
        ((5, 5), 0.99, 5),
        ((5,), 0.5, 0),
    ],
)
def test_a_group_of_copies_does_not_exceed_the_share(
    tmp_path: Path, sizes: Sequence[int], share: float, tested: int
) -> None:
    write_groups(tmp_path / "cat", sizes)
    data = read_dataset(tmp_path)
    for seed in range(20):
        chosen = choose(data, share, seed, contents(data))
        assert len(chosen) == tested
        rest = {sample.path for sample in data.samples} - chosen
        assert {path.name[0] for path in chosen}.isdisjoint({path.name[0] for path in rest})


def test_a_class_is_tested_though_another_class_keeps_its_copies_in_train(tmp_path: Path) -> None:
    write_groups(tmp_path / "cat", (1,))
    write_groups(tmp_path / "dog", (1, 8))
    data = read_dataset(tmp_path)
    chosen = choose(data, 0.1, 0, contents(data))
    assert {path.relative_to(tmp_path).parts for path in chosen} == {
        ("dog", f"1-{i}.png") for i in range(8)
    }


def test_without_copies_a_seed_gives_the_known_division(tmp_path: Path) -> None:
    write_groups(tmp_path / "cat", [1] * 10)
    data = read_dataset(tmp_path)
    chosen = [{path.name[0] for path in choose(data, 0.3, seed, contents(data))} for seed in (0, 1)]
    assert chosen == [set("268"), set("569")]


def test_a_lone_photo_is_learnt_from(run: Run, tmp_path: Path) -> None:
    draw_classes(tmp_path / "few", {"cat": 1, "dog": 3})
    assert run("dataset", "split", tmp_path / "few", tmp_path / "out", "--share", 0.99).code == 0
    assert count(tmp_path / "out" / "train") == {"cat": 1, "dog": 1}
    assert count(tmp_path / "out" / "test") == {"dog": 2}


def test_hard_links_take_no_room(run: Run, photos: Path, tmp_path: Path) -> None:
    assert run("dataset", "split", photos, tmp_path / "out", "--link").code == 0
    for name in files(tmp_path / "out" / "train"):
        assert (tmp_path / "out" / "train" / name).samefile(photos / name)


def test_nothing_is_overwritten(run: Run, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    code, _, err = run("dataset", "split", photos, tmp_path / "out")
    assert code == 1
    assert (
        err
        == f"error: {tmp_path / 'out'} exists already and is not overwritten: name another folder\n"
    )
    code, _, err = run("dataset", "split", photos, photos / "out")
    assert code == 1
    assert "lies within" in err
    assert list((tmp_path / "out").iterdir()) == []
    assert not (photos / "out").exists()


def test_what_is_divided_is_not_divided_again(run: Run, photos: Path, tmp_path: Path) -> None:
    run("dataset", "split", photos, tmp_path / "out")
    code, _, err = run("dataset", "split", tmp_path / "out", tmp_path / "again")
    assert code == 1
    assert err == f"error: {tmp_path / 'out'} is already divided into train, test\n"
    assert not (tmp_path / "again").exists()
