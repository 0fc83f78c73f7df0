"""Class names, from the names of folders or from a file of labels."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path
from unicodedata import normalize

from app.errors import StartupError

Meanings = dict[str, list[int]]


def fits_a_line(name: str) -> bool:
    """Return whether `name` is one line of UTF-8; the name of a file may hold any bytes."""
    return "\n" not in name and name.encode(errors="ignore").decode() == name


def class_name(folder: Path) -> str:
    """Return the folder's name in Unicode's composed form.

    macOS may store an accent as a separate character, which would make two names of one.

    Raises:
        StartupError: the name is not one line of UTF-8.
    """
    if not fits_a_line(folder.name):
        raise StartupError(
            f"{folder.parent}: rename the folder {folder.name!r}: "
            "a class's name must be one line of UTF-8"
        )
    return normalize("NFC", folder.name)


def sort_names(names: Collection[str]) -> list[str]:
    """Return the names sorted, as numbers if all names are numbers: 2 comes before 10."""
    all_numbers = all(name.isdecimal() for name in names)
    return sorted(names, key=lambda name: (int(name) if all_numbers else 0, name))


def class_ids(folder: Path, classes: Sequence[str], names: Collection[str]) -> dict[str, int]:
    """Return the class id for each folder name: the name is a label, a synonym or a number.

    Some folders may have labels and others numbers, unless a label itself is a number: then a
    number could mean two classes.

    Args:
        folder: the data set, for error messages.
        classes: the labels, in the order of the class ids.
        names: the names of the folders in `folder`.

    Raises:
        StartupError: a name belongs to no class, or to several classes.
    """
    meanings = _meanings(classes)
    numbers = {str(class_id): [class_id] for class_id in range(len(classes))}
    if all(name.isdecimal() and name not in meanings for name in names):
        meanings = numbers
    elif not any(name.isdecimal() for name in meanings):
        meanings |= numbers
    for name in names:
        if name not in meanings:
            mixed = meanings.keys() >= numbers.keys()
            to = "to a label or to a" if mixed else "to a label, or all folders to a"
            raise StartupError(
                f"{folder}: no class is called {name!r}: rename the folder {to} "
                f"number from 0 to {len(classes) - 1}"
            )
        # ImageNet, for example, has two classes "crane": the bird and the machine.
        if len(meanings[name]) > 1:
            both = " or ".join(f"{class_id} ({classes[class_id]})" for class_id in meanings[name])
            raise StartupError(
                f"{folder}: {name!r} may be class {both}: "
                "rename the folder to the number of its class"
            )
    return {name: meanings[name][0] for name in names}


def _meanings(classes: Sequence[str]) -> Meanings:
    """Return the class ids for each possible name: 'tabby, tabby cat' is also called 'tabby'."""
    labels, synonyms = defaultdict[str, list[int]](list), defaultdict[str, list[int]](list)
    for class_id, label in enumerate(normalize("NFC", name) for name in classes):
        labels[label].append(class_id)
        for synonym in set(label.split(", ")):
            synonyms[synonym].append(class_id)
    # A whole label takes precedence over a synonym.
    return {**synonyms, **labels}


def read_labels(path: Path, delimiter: str = " ") -> list[str]:
    """Return the labels in a file with one label per line.

    Each line may begin with the number of its class and a delimiter, as in PaddleClas: `0 tench`.

    Raises:
        StartupError: the file cannot be read or is empty.
    """
    try:
        names = path.read_text(encoding="utf-8-sig").rstrip("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise StartupError(f"{path}: the labels cannot be read") from error
    if names == [""]:
        raise StartupError(f"{path}: there are no labels in it")
    numbered = {number: label for number, _, label in (name.partition(delimiter) for name in names)}
    order = [str(class_id) for class_id in range(len(names))]
    if numbered.keys() == set(order) and all(numbered.values()):
        return [numbered[number] for number in order]
    return names
