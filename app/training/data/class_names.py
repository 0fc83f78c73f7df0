"""The names of classes, as folders bear them."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path
from unicodedata import normalize

from app.errors import StartupError

Meanings = dict[str, list[int]]


def fits_a_line(name: str) -> bool:
    """Return whether a name can stand in a line of UTF-8; a file's may hold any bytes."""
    return "\n" not in name and name.encode(errors="ignore").decode() == name


def class_name(folder: Path) -> str:
    """Return the folder's name composed: macOS may write an accent as a letter of its own.

    Raises:
        StartupError: it cannot be the name of a class.
    """
    if not fits_a_line(folder.name):
        raise StartupError(
            f"{folder.parent}: rename the folder {folder.name!r}: "
            "a class's name must be one line of UTF-8"
        )
    return normalize("NFC", folder.name)


def in_order(names: Collection[str]) -> list[str]:
    """Return the names sorted; where all are numbers, so that 2 stands before 10."""
    numbers = all(name.isdecimal() for name in names)
    return sorted(names, key=lambda name: (int(name) if numbers else 0, name))


def class_ids(place: Path, classes: Sequence[str], names: Collection[str]) -> dict[str, int]:
    """Return the class of each of the folders' names in `place`: a label, a synonym or a number.

    Raises:
        StartupError: a name is that of no class, or of several.
    """
    meanings = _meanings(classes)
    if all(name.isdecimal() and name not in meanings for name in names):
        meanings = {str(class_id): [class_id] for class_id in range(len(classes))}
    for name in names:
        if name not in meanings:
            raise StartupError(f"{place}: no class is called {name!r}")
        if len(meanings[name]) > 1:  # ImageNet has two cranes
            both = " or ".join(f"{class_id} ({classes[class_id]})" for class_id in meanings[name])
            raise StartupError(
                f"{place}: {name!r} may be class {both}: "
                "give every folder its class's number for a name"
            )
    return {name: meanings[name][0] for name in names}


def _meanings(classes: Sequence[str]) -> Meanings:
    """Return the classes of each name a folder may bear: 'tabby, tabby cat' is also 'tabby'."""
    labels, synonyms = defaultdict[str, list[int]](list), defaultdict[str, list[int]](list)
    for class_id, label in enumerate(normalize("NFC", name) for name in classes):
        labels[label].append(class_id)
        for synonym in set(label.split(", ")):
            synonyms[synonym].append(class_id)
    return {**synonyms, **labels}  # a whole label is meant before a synonym


def read_labels(path: Path) -> list[str]:
    """Read a name a line, or all with their numbers before them as PaddleClas has it: `0 tench`.

    Raises:
        StartupError: the file cannot be read or is empty.
    """
    try:
        names = path.read_text(encoding="utf-8-sig").rstrip("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise StartupError(f"{path}: the labels cannot be read") from error
    if names == [""]:
        raise StartupError(f"{path}: there are no labels in it")
    numbered = {number: label for number, _, label in (name.partition(" ") for name in names)}
    order = [str(class_id) for class_id in range(len(names))]
    if numbered.keys() == set(order) and all(numbered.values()):
        return [numbered[number] for number in order]
    return names
