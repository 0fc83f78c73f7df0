"""Checks the photos of a data set: broken files, duplicates, and leaks between its parts."""

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


class LabelledPhoto(NamedTuple):
    """A photo to check.

    Attributes:
        part: train, val or test; the data set's own name if it has no parts.
        path: the photo's file.
        label: the name of its class.
    """

    part: str
    path: Path
    label: str


@dataclass(frozen=True)
class CheckedPhoto:
    """A photo that can be read.

    Attributes:
        part, path, label: as in `LabelledPhoto`.
        content: SHA-256 of the file's bytes, or of the upright pixels. Photos with the same
            content count as the same photo.
        size: (width, height) of the upright photo in pixels.
    """

    part: str
    path: Path
    label: str
    content: str
    size: tuple[int, int]


class BrokenPhoto(NamedTuple):
    """A photo that cannot be read, and the reason."""

    path: Path
    error: ServiceError


Group = tuple[CheckedPhoto, ...]


@dataclass(frozen=True)
class CheckResult:
    """The photos of a data set and its problems. A group is several photos of the same content.

    Attributes:
        photos: the photos that can be read.
        broken: the photos that cannot be read.
        leaks: groups in more than one part, so that the test photos are not new to the network.
        contradictions: groups in more than one class.
        duplicates: groups in one part and one class, so that the photo counts twice.
        unknown: the classes of other parts that `train` lacks.
        empty: the classes without a readable photo to learn from.
    """

    photos: tuple[CheckedPhoto, ...]
    broken: tuple[BrokenPhoto, ...]
    leaks: tuple[Group, ...]
    contradictions: tuple[Group, ...]
    duplicates: tuple[Group, ...]
    unknown: tuple[str, ...]
    empty: tuple[str, ...]

    @property
    def sound(self) -> bool:
        """Whether there are no problems except duplicates, which only count twice."""
        problems = self.broken, self.leaks, self.contradictions, self.unknown, self.empty
        return not any(problems)


def list_photos(parts: Mapping[str, Dataset]) -> list[LabelledPhoto]:
    """Return the photos of all parts."""
    return [
        LabelledPhoto(part, sample.path, data.classes[sample.class_id])
        for part, data in parts.items()
        for sample in data.samples
    ]


def inspect(
    photos: Iterable[LabelledPhoto], threads: int, max_pixels: int, *, by_pixels: bool
) -> Iterator[CheckedPhoto | BrokenPhoto]:
    """Decode each photo at full size and yield the outcomes in the order of `photos`.

    Args:
        photos: the photos to decode.
        threads: how many photos are decoded at the same time.
        max_pixels: larger photos count as broken.
        by_pixels: compare upright pixels instead of files, so that the same picture in another
            file, for example without EXIF data or as PNG, counts as the same photo.
    """

    def inspect_one(photo: LabelledPhoto) -> CheckedPhoto | BrokenPhoto:
        try:
            data = contents(photo.path)
            image = decode_full(data, max_pixels)
        except ServiceError as error:
            return BrokenPhoto(photo.path, error)
        compared = f"{image.size}".encode() + image.tobytes() if by_pixels else data
        return CheckedPhoto(*photo, hashlib.sha256(compared).hexdigest(), image.size)

    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(inspect_one, photos)


def check(
    outcomes: Iterable[CheckedPhoto | BrokenPhoto], parts: Mapping[str, Dataset]
) -> CheckResult:
    """Return the problems of a data set, from the outcomes of `inspect` for all of its photos."""
    photos: list[CheckedPhoto] = []
    broken: list[BrokenPhoto] = []
    for outcome in outcomes:
        if isinstance(outcome, CheckedPhoto):
            photos.append(outcome)
        else:
            broken.append(outcome)
    groups = _groups(photos)
    return CheckResult(
        tuple(photos),
        tuple(broken),
        leaks=tuple(group for group in groups if _differs(group, "part")),
        contradictions=tuple(group for group in groups if _differs(group, "label")),
        duplicates=tuple(group for group in groups if _is_duplicate(group)),
        unknown=_unknown(parts),
        empty=_empty(photos, parts),
    )


def _groups(photos: Iterable[CheckedPhoto]) -> list[Group]:
    by_content: dict[str, list[CheckedPhoto]] = defaultdict(list)
    for photo in photos:
        by_content[photo.content].append(photo)
    return [tuple(group) for group in by_content.values() if len(group) > 1]


def _is_duplicate(group: Group) -> bool:
    return not (_differs(group, "part") or _differs(group, "label"))


def _differs(group: Group, attribute: str) -> bool:
    return len({getattr(photo, attribute) for photo in group}) > 1


def _unknown(parts: Mapping[str, Dataset]) -> tuple[str, ...]:
    if "train" not in parts:
        return ()
    others = {name for data in parts.values() for name in data.classes}
    return tuple(sorted(others - set(parts["train"].classes)))


def _empty(photos: Iterable[CheckedPhoto], parts: Mapping[str, Dataset]) -> tuple[str, ...]:
    # The first part is the one to learn from: `train`, or the whole data set.
    first, data = next(iter(parts.items()))
    found = {photo.label for photo in photos if photo.part == first}
    return tuple(name for name in data.classes if name not in found)
