"""Divides a folder of class folders into `train` and `test`, alike on every machine."""

import hashlib
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

from app.disk import disk_full, room_for
from app.errors import StartupError
from app.training.copies.groups import contents_by_file
from app.training.copies.inspection import BrokenPhoto, CheckedPhoto, divide
from app.training.data.dataset import Dataset, find_parts, read_dataset

# Decodes the photos of a data set and returns the outcome for each.
Look = Callable[[Dataset], Iterable[CheckedPhoto | BrokenPhoto]]


def split(
    folder: Path, output: Path, share: float, seed: int, look: Look, *, link: bool
) -> tuple[int, int]:
    """Copy `share` of each class's photos to OUTPUT/test and the others to OUTPUT/train.

    Args:
        folder: the data set DIR, with the photos in DIR/<class>/*.jpg.
        output: a folder that does not exist yet. It appears only once it is complete.
        share: between 0 and 1; a class of two photos or more gets at least one on either side,
            unless all of its photos are copies of each other.
        seed: another number chooses other photos.
        look: decodes the photos, so that near-duplicates are found.
        link: make hard links, which need no disk space, instead of copies.

    Returns:
        The numbers of photos in train and in test.

    Raises:
        StartupError: DIR does not exist or is divided already, OUTPUT exists or lies within DIR and
            would become a class of it, or the copies do not fit on the disk.
    """
    _require_folders(folder, output)
    data = read_dataset(folder)
    photos, _ = divide(look(data))
    chosen = choose(data, share, seed, contents_by_file(photos))
    output.parent.mkdir(parents=True, exist_ok=True)
    size = 0 if link else sum(_size(sample.path) for sample in data.samples)
    with (
        room_for(output, size),
        tempfile.TemporaryDirectory(prefix=".splitting-", dir=output.parent) as temporary,
    ):
        if size > shutil.disk_usage(output.parent).free:
            raise disk_full(output, "there is not enough space", size)
        built = Path(temporary) / output.name
        for sample in data.samples:
            part = "test" if sample.path in chosen else "train"
            _write(sample.path, built / part / sample.path.relative_to(folder), link=link)
        built.rename(output)
    return len(data.samples) - len(chosen), len(chosen)


def _require_folders(folder: Path, output: Path) -> None:
    if not folder.is_dir():
        raise StartupError(f"{folder}: no such folder")
    if folder not in find_parts(folder).values():
        raise StartupError(f"{folder} is already divided into {', '.join(find_parts(folder))}")
    if output.exists():
        raise StartupError(f"{output} exists already and is not overwritten: name another folder")
    if output.resolve().is_relative_to(folder.resolve()):
        raise StartupError(
            f"{output} lies within {folder} and would become a class of it: name another folder"
        )


def choose(data: Dataset, share: float, seed: int, content: Mapping[Path, str]) -> set[Path]:
    """Return `share` of each class's photos to test on; the others are for training.

    Copies, which are files of the same `content`, always end up on the same side, even if they lie
    in different classes. A class keeps at least one photo for training, unless its files are all
    copies of another class's test photos. A group of copies that is larger than the number of
    photos still wanted stays in train, unless the class would have no test photo: then its smallest
    group is tested on. Files without content, which cannot be read, are not tested on.
    """
    classes = [Counter[str]() for _ in data.classes]
    for sample in data.samples:
        if digest := content.get(sample.path):
            classes[sample.class_id][digest] += 1
    in_test: dict[str, bool] = {}
    for copies in classes:
        _divide(copies, in_test, share, seed)
    return {s.path for s in data.samples if s.path in content and in_test[content[s.path]]}


def _divide(copies: Counter[str], in_test: dict[str, bool], share: float, seed: int) -> None:
    """Decide in `in_test` about the contents of a class that no earlier class has decided on.

    Args:
        copies: how many files of the class have each content.
        in_test: whether a content goes to the test.
        share: the share of the class's photos to test on.
        seed: another number chooses other photos.
    """
    wanted = max(1, round(share * copies.total()))
    wanted -= sum(count for digest, count in copies.items() if in_test.get(digest))
    undecided = sorted(copies.keys() - in_test, key=partial(_rank, seed))
    for digest in undecided:
        in_test[digest] = copies[digest] <= wanted
        wanted -= copies[digest] if in_test[digest] else 0
    sides = {in_test[digest] for digest in copies}
    if undecided and sides == {True}:
        in_test[undecided[-1]] = False
    elif undecided and sides == {False} and len(copies) > 1:
        in_test[min(undecided, key=copies.__getitem__)] = True


def _rank(seed: int, digest: str) -> bytes:
    """Return a sort key that shuffles by content, so that a renamed file stays on its side."""
    return hashlib.sha256(f"{seed} {digest}".encode()).digest()


def _size(photo: Path) -> int:
    """Return the file's bytes; 0 if a link leads to nothing."""
    return photo.stat().st_size if photo.exists() else 0


def _write(photo: Path, path: Path, *, link: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not photo.exists():
        raise StartupError(f"{photo} is a link that leads to nothing: mend or remove it")
    if link:
        path.hardlink_to(photo.resolve())
    else:
        shutil.copy2(photo, path)
