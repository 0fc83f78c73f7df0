"""Labelled photos on disk: a folder a class, or a list file as PaddleClas reads it."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from app.errors import StartupError

PARTS = ("train", "val", "test")
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})


class Sample(NamedTuple):
    """One labelled photo."""

    path: Path
    class_id: int


@dataclass(frozen=True)
class Dataset:
    """Photos with their classes; the order of `classes` is that of the network's output."""

    classes: tuple[str, ...]
    samples: tuple[Sample, ...]


def read_dataset(place: Path, classes: Sequence[str] | None = None) -> Dataset:
    """Read `DIR/<class>/*.jpg`, sorted, or a list file with `path class_id` a line.

    Args:
        place: the folder, or the list file; its paths count from its own folder.
        classes: the names in their order, where a model has them already; each folder must bear
            one of them then, or a synonym, or all bear numbers. Without them the sorted names of
            the folders, or for a list file the numbers.

    Raises:
        StartupError: it cannot be read, has no photos, or a folder whose name is that of none of
            `classes` or of several.
    """
    dataset = _read_list(place, classes) if place.is_file() else _read_folders(place, classes)
    if not dataset.samples:
        raise StartupError(f"{place}: there are no photos in it")
    return dataset


def find_parts(place: Path) -> dict[str, Path]:
    """Return where the parts of a data set lie: `{"train": DIR/train, "test": DIR/test}`.

    They are list files as PaddleClas names them, `train_list.txt`, else folders. A place that has
    no parts is one, under its own name.
    """
    if place.is_dir():
        lists = {part: place / f"{part}_list.txt" for part in PARTS}
        if found := {part: path for part, path in lists.items() if path.is_file()}:
            return found
        folders = {folder.name: folder for folder in _folders(place)}
        if folders and folders.keys() <= set(PARTS):
            return {part: folders[part] for part in PARTS if part in folders}
    return {place.absolute().name: place}


def held_out(place: Path) -> Path:
    """Return the part to test on: `test`, else `val`, else all there is."""
    parts = find_parts(place)
    return parts.get("test") or parts.get("val") or next(iter(parts.values()))


def _folders(place: Path) -> list[Path]:
    return sorted(path for path in place.iterdir() if path.is_dir() and path.name[0] != ".")


def _read_folders(place: Path, classes: Sequence[str] | None) -> Dataset:
    if not place.is_dir():
        raise StartupError(f"{place}: no such folder or list file")
    folders = _folders(place)
    names = tuple(classes or (folder.name for folder in folders))
    ids = _ids(place, names, [folder.name for folder in folders])
    samples = (
        Sample(path, ids[folder.name])
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in SUFFIXES and path.is_file()
    )
    return Dataset(names, tuple(samples))


def _ids(place: Path, classes: Sequence[str], folders: Sequence[str]) -> dict[str, int]:
    """Return each folder's class."""
    meanings = _meanings(classes)
    if all(folder.isdecimal() and folder not in meanings for folder in folders):
        meanings = {str(class_id): [class_id] for class_id in range(len(classes))}
    for folder in folders:
        if folder not in meanings:
            raise StartupError(f"{place}: the model has no class {folder!r}")
        if len(meanings[folder]) > 1:  # ImageNet has two cranes
            both = " or ".join(f"{class_id} ({classes[class_id]})" for class_id in meanings[folder])
            raise StartupError(
                f"{place}: {folder!r} may be class {both}: "
                "give every folder its class's number for a name"
            )
    return {folder: meanings[folder][0] for folder in folders}


def _meanings(classes: Sequence[str]) -> dict[str, list[int]]:
    """Return the classes of each name a folder may bear: 'tabby, tabby cat' is also 'tabby'."""
    labels, synonyms = defaultdict[str, list[int]](list), defaultdict[str, list[int]](list)
    for class_id, label in enumerate(classes):
        labels[label].append(class_id)
        for synonym in set(label.split(", ")):
            synonyms[synonym].append(class_id)
    return {**synonyms, **labels}  # a whole label is meant before a synonym


def _read_list(place: Path, classes: Sequence[str] | None) -> Dataset:
    samples = []
    for number, line in enumerate(_lines(place), 1):
        words = line.strip().rsplit(maxsplit=1)
        if not words:
            continue
        if len(words) < 2 or not words[1].isdecimal():
            raise StartupError(f"{place}:{number}: not of the form `path class_id`")
        samples.append(Sample(place.parent / words[0], int(words[1])))
    count = max((sample.class_id for sample in samples), default=-1) + 1
    if classes is not None and count > len(classes):
        raise StartupError(f"{place}: class {count - 1}, but the model has {len(classes)}")
    names = classes or [str(class_id) for class_id in range(count)]
    return Dataset(tuple(names), tuple(samples))


def _lines(place: Path) -> list[str]:
    try:
        return place.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise StartupError(f"{place} is no list file: it is not text") from error
