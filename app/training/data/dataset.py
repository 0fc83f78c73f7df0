"""Labelled photos on disk: one folder per class, or a list file as PaddleClas reads it.

A data set may be divided into parts: train, val and test.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from app.errors import StartupError
from app.images.files import SUFFIXES
from app.training.copies.inspection import LabelledPhoto
from app.training.data.class_names import class_ids, class_name, sort_names

PARTS = ("train", "val", "test")
_OTHER_NAMES = {"training": "train", "valid": "val", "validation": "val", "testing": "test"}
_PARTS_BY_NAME = {part: part for part in PARTS} | _OTHER_NAMES
# An error message lists at most this many names, so that it stays readable.
_MAX_NAMED = 5


class Sample(NamedTuple):
    """One labelled photo."""

    path: Path
    class_id: int


@dataclass(frozen=True)
class Dataset:
    """Photos with their classes.

    Attributes:
        classes: the names of the classes, in the order of the network's output.
        samples: the photos.
        not_counted: the number of other files among the photos, by file extension.
    """

    classes: tuple[str, ...]
    samples: tuple[Sample, ...]
    not_counted: Mapping[str, int] = field(default_factory=dict)


def read_dataset(path: Path, classes: Sequence[str] | None = None) -> Dataset:
    """Read `DIR/<class>/*.jpg`, sorted, or a list file with `path class_id` on each line.

    Args:
        path: the folder or the list file. Paths in a list file are relative to its own folder.
        classes: the names of the classes in order, if they are known already. In that case, every
            folder must bear a label or a synonym, or all folders must bear numbers. If None, the
            classes are the names of the folders, in Unicode's composed form and sorted, as numbers
            if all names are numbers. For a list file they are its numbers.

    Raises:
        StartupError: `path` cannot be read or holds no photos, or the name of a folder belongs to
            no class or to several classes.
    """
    dataset = _read_list(path, classes) if path.is_file() else _read_folders(path, classes)
    if dataset.samples:
        return dataset
    if path.is_file():
        raise StartupError(f"{path}: there are no photos in it: write `path class_id` on each line")
    raise StartupError(
        f"{path}: there are no photos in it: put them into a folder per class, as in DIR/cat/1.jpg"
    )


def list_photos(parts: Mapping[str, Dataset]) -> list[LabelledPhoto]:
    """Return the photos of all parts."""
    return [
        LabelledPhoto(part, sample.path, data.classes[sample.class_id])
        for part, data in parts.items()
        for sample in data.samples
    ]


def find_parts(path: Path) -> dict[str, Path]:
    """Return the path of each part of a data set: `{"train": DIR/train, "test": DIR/test}`.

    The parts are list files with PaddleClas's names, such as `train_list.txt`, or else folders,
    which may also be called `training`, `valid`, `validation` and `testing`. A data set without
    parts is returned as one part under its own name.

    Raises:
        StartupError: there are other folders beside the parts, or two folders for one part.
    """
    if path.is_dir():
        lists = {part: path / f"{part}_list.txt" for part in PARTS}
        if found := {part: file for part, file in lists.items() if file.is_file()}:
            return found
        if folders := _part_folders(path):
            return folders
    return {path.absolute().name: path}


def held_out(path: Path) -> Path:
    """Return the path of the part to test on: `test`, else `val`, else the only part."""
    parts = find_parts(path)
    return parts.get("test") or parts.get("val") or next(iter(parts.values()))


def few(names: Sequence[str]) -> str:
    """Return the first names, and the number of the others, for an error message."""
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return ", ".join(names[:_MAX_NAMED]) + more


def _part_folders(path: Path) -> dict[str, Path]:
    """Return the folders of the parts in the order of PARTS; {} if the folders are classes."""
    folders = _folders(path)
    named = [folder for folder in folders if folder.name.lower() in _PARTS_BY_NAME]
    # In a data set of vehicles, `train` may be a class: such a folder holds no class folders.
    if len(named) < len(folders) and not any(map(_folders, named)):
        return {}
    parts = {_PARTS_BY_NAME[folder.name.lower()]: folder for folder in named}
    if others := [folder.name for folder in folders if folder not in parts.values()]:
        have = few([folder.name for folder in parts.values()])
        raise StartupError(
            f"{path} has parts of a data set, {have}, and other folders beside them, "
            f"{few(others)}: move the parts or the other folders elsewhere"
        )
    return {part: parts[part] for part in PARTS if part in parts}


def _folders(path: Path) -> list[Path]:
    """Return the folders in `path`, sorted.

    Raises:
        StartupError: a link leads to nothing, and it may be the link to a whole class.
    """
    visible = sorted(entry for entry in path.iterdir() if entry.name[0] != ".")
    dangling = [str(e) for e in visible if not e.exists() and _extension(e) not in SUFFIXES]
    if dangling:
        raise StartupError(f"links that lead to nothing: {few(dangling)}: mend or remove them")
    return [entry for entry in visible if entry.is_dir()]


def _read_folders(path: Path, classes: Sequence[str] | None) -> Dataset:
    if not path.is_dir():
        raise StartupError(f"{path}: no such folder or list file")
    folders = {folder: class_name(folder) for folder in _folders(path)}
    names = tuple(classes or sort_names(set(folders.values())))
    ids = class_ids(path, names, folders.values())
    files = [Sample(file, ids[name]) for folder, name in folders.items() for file in _files(folder)]
    photos = tuple(sample for sample in files if _extension(sample.path) in SUFFIXES)
    extensions = Counter(_extension(sample.path) for sample in files)
    return Dataset(names, photos, {e: n for e, n in extensions.items() if e not in SUFFIXES})


def _extension(path: Path) -> str:
    return path.suffix.lower()


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files below `folder`, sorted, except those that systems and editors hide."""
    for path in sorted(folder.rglob("*")):
        hidden = any(name.startswith(".") for name in path.relative_to(folder).parts)
        # A link to nothing is kept, so that it is named as a photo that cannot be read.
        if not hidden and (path.is_file() or not path.exists()):
            yield path


def _read_list(path: Path, classes: Sequence[str] | None) -> Dataset:
    samples = []
    for number, line in enumerate(_lines(path), 1):
        words = line.strip().rsplit(maxsplit=1)
        if not words:
            continue
        if len(words) < 2 or not words[1].isdecimal():
            raise StartupError(f"{path}:{number}: not of the form `path class_id`")
        samples.append(Sample(path.parent / words[0], int(words[1])))
    count = max((sample.class_id for sample in samples), default=-1) + 1
    if classes is not None and count > len(classes):
        raise StartupError(
            f"{path}: class {count - 1}, but the last is {len(classes) - 1}: "
            "the list has more classes than there are class names"
        )
    names = classes or [str(class_id) for class_id in range(count)]
    return Dataset(tuple(names), tuple(samples))


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise StartupError(f"{path} is no list file: it is not UTF-8 text") from error
    # `splitlines` would also split at other line ends, which the name of a file may hold.
    return text.split("\n")
