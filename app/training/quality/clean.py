"""Acts on a table of suggestions: moves photos out of a data set, or into another class of it.

Nothing is deleted. A journal in the folder of the removed photos makes every move undoable.
"""

import csv
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.errors import StartupError
from app.training.data.class_names import class_name
from app.training.data.dataset import find_parts
from app.training.quality.suggestions import Suggestion

_JOURNAL = "moved.csv"
_ODD_NAMES = "surrogateescape"


@dataclass(frozen=True)
class Move:
    """A photo, and where it goes.

    Attributes:
        action: "remove" or "move".
        source: the photo's file.
        target: the file that it becomes, which does not exist yet.
    """

    action: str
    source: Path
    target: Path


def plan(data: Path, rows: Sequence[Suggestion], removed: Path) -> tuple[list[Move], int]:
    """Return the moves that the rows ask for, and the number of photos that are not there any more.

    Args:
        data: the data set, a folder.
        rows: the suggestions; those to keep a photo ask for nothing.
        removed: the folder for removed photos, which keep their paths below it.

    Raises:
        StartupError: the data set is described by list files, or a row names a file outside the
            data set or a class that the data set does not have, or two rows contradict each other.
    """
    if not data.is_dir():
        raise StartupError(f"{data}: no such folder")
    parts = find_parts(data)
    if any(part.is_file() for part in parts.values()):
        raise StartupError(f"{data} is described by list files: edit these instead")
    if removed.resolve().is_relative_to(data.resolve()):
        raise StartupError(f"{removed} lies within {data} and would become a class of it")
    folders = {part: _class_folders(path) for part, path in parts.items()}
    wanted = _wanted(rows)
    present = {file: row for file, row in wanted.items() if (data / file).is_file()}
    taken: set[Path] = set()
    moves = []
    for file, row in present.items():
        source = data / file
        # A photo that is a link is moved itself, and not what it leads to.
        folder = source.parent.resolve()
        if not folder.is_relative_to(data.resolve()):
            raise StartupError(f"{file} lies outside {data} and is not touched")
        if row.action == "remove":
            target = removed / folder.relative_to(data.resolve()) / source.name
        else:
            target = _folder_of_class(source, row.move_to, parts, folders) / source.name
        moves.append(Move(row.action, source, _free(target, taken)))
    return moves, len(wanted) - len(present)


def carry_out(moves: Iterable[Move], removed: Path) -> None:
    """Move the files, and note each move in the journal before it is done."""
    removed.mkdir(parents=True, exist_ok=True)
    with _journal(removed).open("a", encoding="utf-8", errors=_ODD_NAMES, newline="") as file:
        journal = csv.writer(file)
        for move in moves:
            journal.writerow([move.source.absolute(), move.target.absolute()])
            file.flush()
            _move(move.source, move.target)


def undo(removed: Path) -> int:
    """Take back all moves in the journal of a folder; return how many, and delete the journal.

    Raises:
        StartupError: there is no journal, or the place of a photo is taken again. Moves after this
            one are taken back already, and another `undo` goes on.
    """
    journal, undone = _journal(removed), 0
    if not journal.is_file():
        raise StartupError(f"{removed}: there is no {_JOURNAL} in it, so there is nothing to undo")
    with journal.open(encoding="utf-8", errors=_ODD_NAMES, newline="") as file:
        moved = [(Path(source), Path(target)) for source, target in csv.reader(file)]
    for source, target in reversed(moved):
        # A move that was noted but not done has no file at its target. A link is there even if it
        # leads nowhere from the folder of the removed photos.
        if target.is_file() or target.is_symlink():
            if source.exists() or source.is_symlink():
                raise StartupError(f"{source} exists again: move it away, and undo then")
            _move(target, source)
            undone += 1
    journal.unlink()
    return undone


def _wanted(rows: Sequence[Suggestion]) -> dict[str, Suggestion]:
    """Return the row of each file for which something is to be done."""
    wanted: dict[str, Suggestion] = {}
    for row in rows:
        if row.action == "keep":
            continue
        other = wanted.setdefault(row.file, row)
        if (other.action, other.move_to) != (row.action, row.move_to):
            raise StartupError(f"{row.file} has two rows that contradict each other: keep one")
    return wanted


def _class_folders(part: Path) -> dict[str, Path]:
    folders = [path for path in sorted(part.iterdir()) if path.is_dir() and path.name[0] != "."]
    return {class_name(folder): folder for folder in folders}


def _folder_of_class(
    source: Path, name: str, parts: dict[str, Path], folders: dict[str, dict[str, Path]]
) -> Path:
    """Return the folder of the class in the same part, even if this part has no photo of it yet."""
    if not any(name in known for known in folders.values()):
        raise StartupError(f"{source} cannot be moved: there is no class {name!r}")
    part = next(part for part, path in parts.items() if source.is_relative_to(path))
    return folders[part].get(name, parts[part] / name)


def _free(target: Path, taken: set[Path]) -> Path:
    """Return the target, or one with a number behind its name if that file exists already."""
    path, number = target, 2
    while path in taken or path.exists():
        path = target.with_name(f"{target.stem}-{number}{target.suffix}")
        number += 1
    taken.add(path)
    return path


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(source, target)


def _journal(removed: Path) -> Path:
    return removed / _JOURNAL
