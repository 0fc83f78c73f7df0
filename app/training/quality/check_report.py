"""The result of a check, as tables for people and as a document for programs."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from app.images.files import reason
from app.training.copies.groups import Group
from app.training.copies.inspection import CheckedPhoto
from app.training.data.dataset import Dataset
from app.training.quality.cautions import cautions
from app.training.quality.check import CheckResult, kind

_SIDES = "pixels: minimum / median / maximum"
# The table lists at most this many classes, because a longer table is hard to read.
_MAX_ROWS = 50


def document(result: CheckResult, parts: Mapping[str, Dataset], size: int) -> dict[str, Any]:
    """Return the result as plain data for JSON; `size` is that of the network's input."""
    return {
        "sound": result.sound,
        "parts": {part: _part(data, _photos(result, part)) for part, data in parts.items()},
        "broken": [
            {"file": str(path), "code": error.code, "detail": reason(error)}
            for path, error in result.broken
        ],
        "leaks": [_files(group) for group in result.leaks],
        "contradictions": [_files(group) for group in result.contradictions],
        "duplicates": [_files(group) for group in result.duplicates],
        "near_duplicates": [{"kind": kind(group), "files": _files(group)} for group in result.near],
        "wrong_labels": [
            {
                "file": str(result.photos[suspect.number].path),
                "label": result.photos[suspect.number].label,
                "suggestion": suspect.label,
                "score": round(suspect.score, 3),
            }
            for suspect in result.suspects
        ],
        "left_out": list(result.left_out),
        "unknown_classes": list(result.unknown),
        "empty_classes": list(result.empty),
        "warnings": list(cautions(result, parts, size)),
    }


def show(result: CheckResult, parts: Mapping[str, Dataset], size: int, console: Console) -> None:
    """Print the tables, and then one line for each problem and each warning."""
    table = Table("", "photos", "classes", "a class", "width", "height", caption=_SIDES)
    for part, data in parts.items():
        table.add_row(part, *_row(_part(data, _photos(result, part))))
    console.print(table)
    console.print(_classes(parts))
    for part, data in parts.items():
        if others := data.not_counted:
            counts = (f"{n} {end or 'without an extension'}" for end, n in others.items())
            console.print(f"not counted in {part}: {', '.join(counts)}", soft_wrap=True)
    for problem, text in _problems(result):
        console.print(Text(f"{problem}:", "red"), text, soft_wrap=True)
    for sentence in result.left_out:
        console.print(f"left out: {sentence}", soft_wrap=True)
    for caution in cautions(result, parts, size):
        console.print(Text("warning:", "yellow"), caution, soft_wrap=True)
    if result.sound:
        console.print(Text("sound", "green"))


def _photos(result: CheckResult, part: str) -> list[CheckedPhoto]:
    return [photo for photo in result.photos if photo.part == part]


def _part(data: Dataset, photos: Sequence[CheckedPhoto]) -> dict[str, Any]:
    counts = Counter(sample.class_id for sample in data.samples)
    return {
        "photos": len(data.samples),
        "classes": {name: counts[class_id] for class_id, name in enumerate(data.classes)},
        "width": _spread([photo.size[0] for photo in photos]),
        "height": _spread([photo.size[1] for photo in photos]),
        "not_counted": dict(data.not_counted),
    }


def _spread(values: Sequence[int]) -> dict[str, float] | None:
    if not values:
        return None
    return {"min": min(values), "median": median(values), "max": max(values)}


def _row(part: Mapping[str, Any]) -> Iterator[str]:
    counts = part["classes"].values()
    yield str(part["photos"])
    yield str(len(counts))
    yield f"{min(counts)} to {max(counts)}"
    for side in ("width", "height"):
        spread = part[side]
        yield "{min} / {median:g} / {max}".format(**spread) if spread else ""


def _classes(parts: Mapping[str, Dataset]) -> Table:
    """Return a table with one row per class; the classes with the fewest photos come first."""
    counts = {
        part: Counter(data.classes[sample.class_id] for sample in data.samples)
        for part, data in parts.items()
    }
    names = {name for data in parts.values() for name in data.classes}
    order = sorted(names, key=lambda name: (*(count[name] for count in counts.values()), name))
    table = Table("class", *parts, caption=_left_out(len(order)))
    for name in order[:_MAX_ROWS]:
        table.add_row(name, *(str(count[name]) for count in counts.values()))
    return table


def _left_out(classes: int) -> str | None:
    return f"and {classes - _MAX_ROWS} classes more" if classes > _MAX_ROWS else None


def _problems(result: CheckResult) -> Iterator[tuple[str, str]]:
    for path, error in result.broken:
        yield "broken", f"{path}: {reason(error)}"
    for name in result.unknown:
        yield "not in train", name
    for name in result.empty:
        yield "no photo", name
    kinds = {
        "leak": result.leaks,
        "two classes": result.contradictions,
        "twice": result.duplicates,
    }
    for problem, groups in kinds.items():
        for group in groups:
            yield problem, " = ".join(_files(group))
    for group in result.near:
        yield kind(group), " ~ ".join(_files(group))
    for suspect in result.suspects:
        photo = result.photos[suspect.number]
        yield (
            "wrong label?",
            f"{photo.path}: {photo.label}, but looks like {suspect.label} ({suspect.score:.2f})",
        )


def _files(group: Group) -> list[str]:
    return [str(photo.path) for photo in group]
