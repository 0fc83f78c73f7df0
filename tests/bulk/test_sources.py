"""Where photos come from: folders, lists and object storage."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from drawn import draw

from app.bulk.sources import contents, listing
from app.errors import StartupError

PHOTO = (200, 40, 40)


def found(source: object) -> list[str]:
    return list(listing(str(source)))


def test_a_folder_is_listed_in_order(tmp_path: Path) -> None:
    for name in ("b/2.png", "b/10.png", "a.png", "c/d/e.PNG"):
        draw(tmp_path / name, PHOTO, 0)
    expected = ["a.png", "b/10.png", "b/2.png", "c/d/e.PNG"]
    assert found(tmp_path) == [str(tmp_path / name) for name in expected]


def test_other_files_are_no_photos_and_a_photo_needs_no_suffix(tmp_path: Path) -> None:
    draw(tmp_path / "a.png", PHOTO, 0)
    (tmp_path / "a.png").rename(tmp_path / "unnamed")
    (tmp_path / "labels.csv").write_text("file,class\n")
    (tmp_path / "broken.jpg").write_text("no photo")
    assert found(tmp_path) == [str(tmp_path / name) for name in ("broken.jpg", "unnamed")]


def test_every_name_of_a_photo_counts(tmp_path: Path) -> None:
    """A hard link, a link, a linked folder, and a link that leads nowhere."""
    draw(tmp_path / "in/a.png", PHOTO, 0)
    os.link(tmp_path / "in/a.png", tmp_path / "in/b.png")
    (tmp_path / "in/c.png").symlink_to("a.png")
    (tmp_path / "in/gone.png").symlink_to("nowhere")
    (tmp_path / "in/gone").symlink_to("nowhere")
    (tmp_path / "linked").symlink_to("in")
    names = [f"{folder}/{name}" for folder in ("in", "linked") for name in ("a", "b", "c", "gone")]
    assert found(tmp_path) == [str(tmp_path / f"{name}.png") for name in names]


def test_a_link_to_a_folder_above_is_left(tmp_path: Path) -> None:
    draw(tmp_path / "in/a.png", PHOTO, 0)
    (tmp_path / "in/loop").symlink_to(tmp_path)
    assert found(tmp_path) == [str(tmp_path / "in/a.png")]


def test_a_pipe_keeps_nobody_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jpg")
    assert found(tmp_path) == []
    assert contents([str(tmp_path / "a.jpg")], 10) == [b""]


def test_a_list_is_relative_to_its_folder(tmp_path: Path) -> None:
    lines = [b"a.jpg", b"", b"/b/c d.jpg\r", b"caf\xe9.jpg", b"memory://x/d.jpg"]
    (tmp_path / "list.txt").write_bytes(b"\n".join(lines))
    names = [f"{tmp_path}/a.jpg", "/b/c d.jpg", rf"{tmp_path}/caf\xe9.jpg", "memory://x/d.jpg"]
    assert found(tmp_path / "list.txt") == names


def test_a_single_photo_is_a_source(tmp_path: Path) -> None:
    draw(tmp_path / "a.png", PHOTO, 0)
    assert found(tmp_path / "a.png") == [str(tmp_path / "a.png")]


def test_a_missing_source_is_told(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="no such folder or list file"):
        found(tmp_path / "nothing")


def test_only_so_many_bytes_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"12345")
    names = [str(tmp_path / "a.jpg"), str(tmp_path / "missing.jpg"), str(tmp_path)]
    short, missing, folder = contents(names, 3)
    assert short == b"1234"
    assert isinstance(missing, FileNotFoundError)
    assert isinstance(folder, IsADirectoryError)
    assert contents(names[:1], 5) == [b"12345"]


@pytest.fixture
def storage() -> Iterator[fsspec.AbstractFileSystem]:
    memory = fsspec.filesystem("memory")
    yield memory
    memory.rm("/", recursive=True)


def test_object_storage(storage: fsspec.AbstractFileSystem) -> None:
    for name in ("b/1.jpg", "b/2", "a.PNG", "labels.csv", "ä ö.jpg"):
        storage.pipe(f"/photos/{name}", name.encode())
    names = found("memory://photos")
    objects = ("a.PNG", "b/1.jpg", "b/2", "ä ö.jpg")
    assert names == [f"memory:///photos/{name}" for name in objects]
    assert contents(names, 100) == [name.encode() for name in objects]
    short, missing = contents([names[1], "memory://photos/missing.jpg"], 2)
    assert short == b"b/1"
    assert isinstance(missing, FileNotFoundError)


def test_a_url_of_files_is_object_storage(tmp_path: Path) -> None:
    draw(tmp_path / "a.png", PHOTO, 0)
    (name,) = found(f"file://{tmp_path}")
    assert contents([name], 10**6) == [(tmp_path / "a.png").read_bytes()]


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("memory://nothing", "nothing below"),
        ("nosuch://photos", "nosuch:// cannot be read"),
        ("s3://photos", "s3fs"),
    ],
)
def test_a_url_that_cannot_be_listed_is_told(url: str, reason: str) -> None:
    with pytest.raises(StartupError, match=reason):
        found(url)


def test_a_missing_package_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(StartupError, match=r"fsspec: install requirements/bulk.txt"):
        found("gs://photos")
    (tmp_path / "list.txt").write_text("gs://photos/1.jpg\n")
    with pytest.raises(StartupError, match="fsspec"):
        found(tmp_path / "list.txt")
