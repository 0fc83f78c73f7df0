"""Every photo of a data set looked at: what is broken, what is there twice, what leaks."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from app.errors import ServiceError
from app.images.decoding import decode_full
from app.images.files import contents
from app.training.data.dataset import Dataset


class Task(NamedTuple):
    """A photo to look at."""

    split: str
    path: Path
    label: str


@dataclass(frozen=True)
class Look:
    """What a photo is like.

    Attributes:
        split: train, val, test; the data set's own name where it has no parts.
        path, label: as the data set has them.
        content: SHA-256 of what counts as the same, the file's bytes or its upright pixels.
        size: (width, height) in pixels, upright.
    """

    split: str
    path: Path
    label: str
    content: str
    size: tuple[int, int]


class Broken(NamedTuple):
    """A photo that cannot be read, and why."""

    path: Path
    error: ServiceError


@dataclass(frozen=True)
class Findings:
    """The looks of all that can be read, and what is wrong; each group has the same content.

    Attributes:
        broken: what cannot be read.
        leaks: groups that lie in more than one part, so that a test is no test.
        contradictions: groups under more than one class.
        duplicates: groups within one part and class: a photo that counts twice.
        unknown: classes of other parts that `train` does not have.
        empty: classes without a photo to learn from that can be read.
    """

    looks: tuple[Look, ...]
    broken: tuple[Broken, ...]
    leaks: tuple[tuple[Look, ...], ...]
    contradictions: tuple[tuple[Look, ...], ...]
    duplicates: tuple[tuple[Look, ...], ...]
    unknown: tuple[str, ...]
    empty: tuple[str, ...]

    @property
    def sound(self) -> bool:
        """Whether nothing but duplicates was found, which only count twice."""
        wrong = self.broken, self.leaks, self.contradictions, self.unknown, self.empty
        return not any(wrong)


def tasks(parts: Mapping[str, Dataset]) -> list[Task]:
    """Return all photos of all parts."""
    return [
        Task(split, sample.path, data.classes[sample.class_id])
        for split, data in parts.items()
        for sample in data.samples
    ]


def inspect(
    photos: Iterable[Task], threads: int, max_pixels: int, *, by_pixels: bool
) -> Iterator[Look | Broken]:
    """Decode each photo whole, in the given order.

    With `by_pixels`, the same picture in another file, say without EXIF or as PNG, is the same.
    """

    def look(task: Task) -> Look | Broken:
        try:
            data = contents(task.path)
            image = decode_full(data, max_pixels)
        except ServiceError as error:
            return Broken(task.path, error)
        same = f"{image.size}".encode() + image.tobytes() if by_pixels else data
        return Look(*task, hashlib.sha256(same).hexdigest(), image.size)

    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(look, photos)


def check(outcomes: Iterable[Look | Broken], parts: Mapping[str, Dataset]) -> Findings:
    """Say what is wrong with what was looked at."""
    looks: list[Look] = []
    broken: list[Broken] = []
    for outcome in outcomes:
        if isinstance(outcome, Look):
            looks.append(outcome)
        else:
            broken.append(outcome)
    groups = _groups(looks)
    return Findings(
        tuple(looks),
        tuple(broken),
        leaks=tuple(group for group in groups if _several(group, "split")),
        contradictions=tuple(group for group in groups if _several(group, "label")),
        duplicates=tuple(group for group in groups if _same_place(group)),
        unknown=_unknown(parts),
        empty=_empty(looks, parts),
    )


def _groups(looks: Iterable[Look]) -> list[tuple[Look, ...]]:
    same: dict[str, list[Look]] = defaultdict(list)
    for look in looks:
        same[look.content].append(look)
    return [tuple(group) for group in same.values() if len(group) > 1]


def _same_place(group: tuple[Look, ...]) -> bool:
    return not (_several(group, "split") or _several(group, "label"))


def _several(group: tuple[Look, ...], attribute: str) -> bool:
    return len({getattr(look, attribute) for look in group}) > 1


def _unknown(parts: Mapping[str, Dataset]) -> tuple[str, ...]:
    if "train" not in parts:
        return ()
    others = {name for data in parts.values() for name in data.classes}
    return tuple(sorted(others - set(parts["train"].classes)))


def _empty(looks: Iterable[Look], parts: Mapping[str, Dataset]) -> tuple[str, ...]:
    first, data = next(iter(parts.items()))  # train, or all there is
    seen = {look.label for look in looks if look.split == first}
    return tuple(name for name in data.classes if name not in seen)
