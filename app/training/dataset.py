"""Labelled photos on disk: a folder a class, or a list file as PaddleClas reads it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from app.errors import StartupError

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
        classes: the names in their order, where a model has them already; the folders' names must
            be among them then. Without them the sorted names of the folders, or for a list file
            the numbers.

    Raises:
        StartupError: it cannot be read, has no photos, or a class that is not among `classes`.
    """
    dataset = _read_list(place, classes) if place.is_file() else _read_folders(place, classes)
    if not dataset.samples:
        raise StartupError(f"{place}: there are no photos in it")
    return dataset


def _read_folders(place: Path, classes: Sequence[str] | None) -> Dataset:
    if not place.is_dir():
        raise StartupError(f"{place}: no such folder or list file")
    folders = sorted(path for path in place.iterdir() if path.is_dir() and path.name[0] != ".")
    names = tuple(classes or (folder.name for folder in folders))
    ids = {name: class_id for class_id, name in enumerate(names)}
    if strange := [folder.name for folder in folders if folder.name not in ids]:
        raise StartupError(f"{place}: the model has no class {strange[0]!r}")
    samples = (
        Sample(path, ids[folder.name])
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in SUFFIXES and path.is_file()
    )
    return Dataset(names, tuple(samples))


def _read_list(place: Path, classes: Sequence[str] | None) -> Dataset:
    samples = []
    for number, line in enumerate(place.read_text(encoding="utf-8").splitlines(), 1):
        path, _, class_id = line.strip().rpartition(" ")
        if not line.strip():
            continue
        if not path or not class_id.isdecimal():
            raise StartupError(f"{place}:{number}: not of the form `path class_id`")
        samples.append(Sample(place.parent / path, int(class_id)))
    count = max((sample.class_id for sample in samples), default=-1) + 1
    if classes is not None and count > len(classes):
        raise StartupError(f"{place}: class {count - 1}, but the model has {len(classes)}")
    names = classes or [str(class_id) for class_id in range(count)]
    return Dataset(tuple(names), tuple(samples))
