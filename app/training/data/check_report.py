"""What was found in a data set: as tables for people and as a document for programs."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from app.training.data.check import Findings, Look
from app.training.data.dataset import Dataset

_SIDES = "pixels: least / median / most"
_MAX_ROWS = 50  # of a table of classes; more are not read by anyone


def document(found: Findings, parts: Mapping[str, Dataset]) -> dict[str, Any]:
    """Return all of it as plain data for JSON."""
    return {
        "sound": found.sound,
        "parts": {part: _part(data, _looks(found, part)) for part, data in parts.items()},
        "broken": [
            {"file": str(path), "code": error.code, "detail": str(error)}
            for path, error in found.broken
        ],
        "leaks": [_files(group) for group in found.leaks],
        "contradictions": [_files(group) for group in found.contradictions],
        "duplicates": [_files(group) for group in found.duplicates],
        "unknown_classes": list(found.unknown),
        "empty_classes": list(found.empty),
    }


def show(found: Findings, parts: Mapping[str, Dataset], console: Console) -> None:
    """Print the tables, then a line for each thing that is wrong."""
    table = Table("", "photos", "classes", "a class", "width", "height", caption=_SIDES)
    for part, data in parts.items():
        table.add_row(part, *_row(_part(data, _looks(found, part))))
    console.print(table)
    console.print(_classes(parts))
    for part, data in parts.items():
        if others := data.not_counted:
            told = (f"{n} {end or 'without an ending'}" for end, n in others.items())
            console.print(f"not counted in {part}: {', '.join(told)}", soft_wrap=True)
    for kind, what in _wrong(found):
        console.print(Text(f"{kind}:", "red"), what, soft_wrap=True)
    if found.sound:
        console.print(Text("sound", "green"))


def _looks(found: Findings, part: str) -> list[Look]:
    return [look for look in found.looks if look.split == part]


def _part(data: Dataset, looks: Sequence[Look]) -> dict[str, Any]:
    counts = Counter(sample.class_id for sample in data.samples)
    return {
        "photos": len(data.samples),
        "classes": {name: counts[class_id] for class_id, name in enumerate(data.classes)},
        "width": _spread([look.size[0] for look in looks]),
        "height": _spread([look.size[1] for look in looks]),
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
    """Return a row a class, those with the fewest photos first."""
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


def _wrong(found: Findings) -> Iterator[tuple[str, str]]:
    for path, error in found.broken:
        yield "broken", f"{path}: {error}"
    for name in found.unknown:
        yield "not in train", name
    for name in found.empty:
        yield "no photo", name
    kinds = {
        "leak": found.leaks,
        "two classes": found.contradictions,
        "twice": found.duplicates,
    }
    for kind, groups in kinds.items():
        for group in groups:
            yield kind, " = ".join(_files(group))


def _files(group: Sequence[Look]) -> list[str]:
    return [str(look.path) for look in group]
