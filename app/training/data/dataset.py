"""Labelled photos on disk: a folder a class, or a list file as PaddleClas reads it."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from app.errors import StartupError
from app.training.data.class_names import class_ids, class_name, in_order

PARTS = ("train", "val", "test")
_OTHER_NAMES = {"training": "train", "valid": "val", "validation": "val", "testing": "test"}
_PART_OF = {part: part for part in PARTS} | _OTHER_NAMES
_MAX_NAMED = 5  # in an error; more are not read by anyone
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})


class Sample(NamedTuple):
    """One labelled photo."""

    path: Path
    class_id: int


@dataclass(frozen=True)
class Dataset:
    """Photos with their classes.

    Attributes:
        classes: in the order of the network's output.
        samples: the photos.
        not_counted: how many other files lie among them, by the ends of their names.
    """

    classes: tuple[str, ...]
    samples: tuple[Sample, ...]
    not_counted: Mapping[str, int] = field(default_factory=dict)


def read_dataset(place: Path, classes: Sequence[str] | None = None) -> Dataset:
    """Read `DIR/<class>/*.jpg`, sorted, or a list file with `path class_id` a line.

    Args:
        place: the folder, or the list file; its paths count from its own folder.
        classes: the names in their order, where they are known already; each folder must bear
            one of them then, or a synonym, or all bear numbers. Without them the sorted names of
            the folders, as numbers where all are, in Unicode's composed form, or for a list file
            the numbers.

    Raises:
        StartupError: it cannot be read, has no photos, or a folder whose name is that of none of
            `classes` or of several.
    """
    dataset = _read_list(place, classes) if place.is_file() else _read_folders(place, classes)
    if dataset.samples:
        return dataset
    if place.is_file():
        raise StartupError(f"{place}: there are no photos in it")
    raise StartupError(
        f"{place}: no photos are counted in it: "
        "they must lie in a folder a class, such as DIR/cat/1.jpg"
    )


def find_parts(place: Path) -> dict[str, Path]:
    """Return where the parts of a data set lie: `{"train": DIR/train, "test": DIR/test}`.

    They are list files as PaddleClas names them, `train_list.txt`, else folders; `training`,
    `valid`, `validation` and `testing` too. A place that has no parts is one, under its own name.

    Raises:
        StartupError: there are other folders beside the parts, or one part twice.
    """
    if place.is_dir():
        lists = {part: place / f"{part}_list.txt" for part in PARTS}
        if found := {part: path for part, path in lists.items() if path.is_file()}:
            return found
        if folders := _part_folders(place):
            return folders
    return {place.absolute().name: place}


def held_out(place: Path) -> Path:
    """Return the part to test on: `test`, else `val`, else all there is."""
    parts = find_parts(place)
    return parts.get("test") or parts.get("val") or next(iter(parts.values()))


def few(names: Sequence[str]) -> str:
    """Return the names for an error's line, the first few where they are many."""
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return ", ".join(names[:_MAX_NAMED]) + more


def _part_folders(place: Path) -> dict[str, Path]:
    """Return the folders that are parts, in their order; none where the folders are classes."""
    folders = _folders(place)
    named = [folder for folder in folders if folder.name.lower() in _PART_OF]
    if len(named) < len(folders) and not any(map(_folders, named)):
        return {}  # among vehicles, `train` is a class
    parts = {_PART_OF[folder.name.lower()]: folder for folder in named}
    if others := [folder.name for folder in folders if folder not in parts.values()]:
        have = few([folder.name for folder in parts.values()])
        raise StartupError(
            f"{place} has parts of a data set, {have}, and other folders beside them, "
            f"{few(others)}: move the ones or the others elsewhere"
        )
    return {part: parts[part] for part in PARTS if part in parts}


def _folders(place: Path) -> list[Path]:
    return sorted(path for path in place.iterdir() if path.is_dir() and path.name[0] != ".")


def _read_folders(place: Path, classes: Sequence[str] | None) -> Dataset:
    if not place.is_dir():
        raise StartupError(f"{place}: no such folder or list file")
    folders = {folder: class_name(folder) for folder in _folders(place)}
    names = tuple(classes or in_order(set(folders.values())))
    ids = class_ids(place, names, folders.values())
    files = [Sample(path, ids[name]) for folder, name in folders.items() for path in _files(folder)]
    photos = tuple(sample for sample in files if _ending(sample.path) in SUFFIXES)
    endings = Counter(_ending(sample.path) for sample in files)
    return Dataset(names, photos, {e: n for e, n in endings.items() if e not in SUFFIXES})


def _ending(path: Path) -> str:
    return path.suffix.lower()


def _files(folder: Path) -> Iterator[Path]:
    """Yield what lies below, sorted, but for what systems and editors hide among photos."""
    for path in sorted(folder.rglob("*")):
        hidden = any(name.startswith(".") for name in path.relative_to(folder).parts)
        if not hidden and path.is_file():
            yield path


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
        raise StartupError(f"{place}: class {count - 1}, but the last is {len(classes) - 1}")
    names = classes or [str(class_id) for class_id in range(count)]
    return Dataset(tuple(names), tuple(samples))


def _lines(place: Path) -> list[str]:
    try:
        text = place.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise StartupError(f"{place} is no list file: it is not text") from error
    return text.split("\n")  # a name may hold other ends of lines
