"""What to do about copies and wrong labels: a table that a person may edit."""

import csv
import io
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from app.errors import StartupError
from app.training.copies.groups import copies
from app.training.copies.inspection import CheckedPhoto
from app.training.data.dataset import PARTS
from app.training.quality.check import CheckResult
from app.training.report.contact_sheet import Caption, write_sheets

ACTIONS = ("keep", "remove", "move")
FILE = "suggestions.csv"
# A photo is moved to another class only if the network is this sure of it.
_SURE = 0.8
# The name of a file may hold bytes that are not UTF-8. They are written as they are.
_ODD_NAMES = "surrogateescape"


@dataclass(frozen=True)
class Suggestion:
    """A row of the table.

    Attributes:
        action: what `dataset clean` does with the photo.
        file: the photo, relative to the data set's folder if it lies in there.
        move_to: the class to move to.
        problem: "copy" or "wrong label".
        group: the number of the group of copies.
        part, label: as in `LabelledPhoto`.
        score: the probability of the class `move_to`.
    """

    action: str
    file: str
    move_to: str
    problem: str
    group: str
    part: str
    label: str
    score: str


def suggest(result: CheckResult, folder: Path) -> list[Suggestion]:
    """Return the suggestions: copies, group by group, and then wrong labels, the surest first.

    Of copies of one class, one is kept: in the part to test on if there is one, so that results
    stay comparable, and the largest. Copies in several classes are kept, because a person has to
    say which class is right.
    """
    removed: set[Path] = set()
    rows = []
    for number, group in enumerate(copies(result.photos, result.pairs), 1):
        best, several = min(group, key=_rank), len({photo.label for photo in group}) > 1
        for photo in sorted(group, key=_rank):
            keep = several or photo is best
            removed |= set() if keep else {photo.path}
            rows.append(_row(photo, folder, "keep" if keep else "remove", "copy", str(number)))
    for suspect in result.suspects:
        photo = result.photos[suspect.number]
        if photo.path not in removed:
            row = _row(photo, folder, "move" if suspect.score >= _SURE else "keep", "wrong label")
            rows.append(replace(row, move_to=suspect.label, score=f"{suspect.score:.3f}"))
    return rows


def write(result: CheckResult, data: Path, output: Path, max_pixels: int) -> list[Suggestion]:
    """Write the suggestions and the contact sheets to OUTPUT, and return the suggestions."""
    output.mkdir(parents=True, exist_ok=True)
    rows = suggest(result, data)
    with (output / FILE).open("w", encoding="utf-8", errors=_ODD_NAMES, newline="") as file:
        table = csv.DictWriter(file, [field.name for field in fields(Suggestion)])
        table.writeheader()
        table.writerows(asdict(row) for row in rows)
    for problem, name in (("copy", "near_duplicates"), ("wrong label", "wrong_labels")):
        shown = [Caption(data / row.file, _caption(row)) for row in rows if row.problem == problem]
        write_sheets(shown, output, name, max_pixels)
    return rows


def read(path: Path) -> list[Suggestion]:
    """Read a table of suggestions that a person may have edited.

    Raises:
        StartupError: the file is no such table, or a row has an unknown action.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig", errors=_ODD_NAMES)
    except OSError as error:
        raise StartupError(f"{path} cannot be read: {error.strerror}") from error
    # Some spreadsheets separate the columns by semicolons.
    separator = ";" if ";" in text.partition("\n")[0] else ","
    return list(_rows(path, csv.DictReader(io.StringIO(text, newline=""), delimiter=separator)))


def _rows(path: Path, table: "csv.DictReader[str]") -> Iterator[Suggestion]:
    if lacking := {"action", "file", "move_to"} - set(table.fieldnames or ()):
        raise StartupError(f"{path} is no table of suggestions: it lacks {min(lacking)}")
    for row in table:
        values = {field.name: row.get(field.name) or "" for field in fields(Suggestion)}
        values["action"] = values["action"].strip().lower()
        if values["action"] not in ACTIONS:
            raise StartupError(
                f"{path}:{table.line_num}: the action is {values['action']!r}, "
                f"not {', '.join(ACTIONS)}"
            )
        yield Suggestion(**values)


def _rank(photo: CheckedPhoto) -> tuple[int, int, str]:
    """Return a key that sorts the copy first that is best to keep."""
    part = PARTS.index(photo.part) if photo.part in PARTS else 0
    return -part, -photo.size[0] * photo.size[1], str(photo.path)


def _row(
    photo: CheckedPhoto, folder: Path, action: str, problem: str, group: str = ""
) -> Suggestion:
    inside = photo.path.is_relative_to(folder)
    file = photo.path.relative_to(folder) if inside else photo.path.absolute()
    return Suggestion(action, str(file), "", problem, group, photo.part, photo.label, "")


def _caption(row: Suggestion) -> list[str]:
    """Return the lines of a photo on a contact sheet."""
    file = Path(row.file)
    text = f"says {row.label}, {row.move_to} {row.score}?" if row.move_to else f"copy {row.group}"
    return [file.name, str(file.parent), f"{row.action}: {text}"]
