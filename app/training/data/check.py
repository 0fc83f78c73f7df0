"""Checks the photos of a data set: broken files, copies, and leaks between its parts."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from app.errors import ServiceError
from app.images.decoding import decode_full
from app.images.files import contents
from app.training.data.dataset import Dataset
from app.training.data.fingerprint import Fingerprint, Thumbnail, fingerprint, thumbnail
from app.training.data.near_duplicates import Pairs, components, pairs_by_hash
from app.training.data.wrong_labels import Suspect


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
        print: by which copies of the photo are found that were encoded again.
        thumbnail: by which crops are found; None if nobody looks for them.
    """

    part: str
    path: Path
    label: str
    content: str
    size: tuple[int, int]
    print: Fingerprint
    thumbnail: Thumbnail | None = field(default=None, compare=False, repr=False)


class BrokenPhoto(NamedTuple):
    """A photo that cannot be read, and the reason."""

    path: Path
    error: ServiceError


Group = tuple[CheckedPhoto, ...]


class CloserLook(NamedTuple):
    """What a network has found in the readable photos of a data set.

    Attributes:
        pairs: near-duplicates, as numbers of photos.
        suspects: the photos whose labels are probably wrong, the surest first.
        left_out: a sentence for each thing that was not looked at.
    """

    pairs: Pairs
    suspects: tuple[Suspect, ...] = ()
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class CheckResult:
    """The photos of a data set and its problems. A group is several photos of the same content.

    In a group of near-duplicates, the photos show the same picture and are different files.

    Attributes:
        photos: the photos that can be read.
        broken: the photos that cannot be read.
        leaks: groups in more than one part, so that the test photos are not new to the network.
        contradictions: groups in more than one class.
        duplicates: groups in one part and one class, so that the photo counts twice.
        unknown: the classes of other parts that `train` lacks.
        empty: the classes without a readable photo to learn from.
        near: groups of near-duplicates.
        pairs: the near-duplicates as numbers of `photos`.
        suspects: the photos whose labels are probably wrong, the surest first.
        left_out: a sentence for each thing that was not looked at.
    """

    photos: tuple[CheckedPhoto, ...]
    broken: tuple[BrokenPhoto, ...]
    leaks: tuple[Group, ...]
    contradictions: tuple[Group, ...]
    duplicates: tuple[Group, ...]
    unknown: tuple[str, ...]
    empty: tuple[str, ...]
    near: tuple[Group, ...]
    pairs: Pairs = field(compare=False, repr=False)
    suspects: tuple[Suspect, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def sound(self) -> bool:
        """Whether there are no problems except duplicates, which only count twice."""
        problems = self.broken, self.leaks, self.contradictions, self.unknown, self.empty
        return not any(problems) and all(kind(group) == "twice" for group in self.near)


def kind(group: Group) -> str:
    """Return what is wrong with copies: "leak", "two classes", or else they count "twice"."""
    if _differs(group, "part"):
        return "leak"
    return "two classes" if _differs(group, "label") else "twice"


def list_photos(parts: Mapping[str, Dataset]) -> list[LabelledPhoto]:
    """Return the photos of all parts."""
    return [
        LabelledPhoto(part, sample.path, data.classes[sample.class_id])
        for part, data in parts.items()
        for sample in data.samples
    ]


def inspect(
    photos: Iterable[LabelledPhoto],
    threads: int,
    max_pixels: int,
    *,
    by_pixels: bool = False,
    thumbnails: bool = False,
) -> Iterator[CheckedPhoto | BrokenPhoto]:
    """Decode each photo at full size and yield the outcomes in the order of `photos`.

    Args:
        photos: the photos to decode.
        threads: how many photos are decoded at the same time.
        max_pixels: larger photos count as broken.
        by_pixels: compare upright pixels instead of files, so that the same picture in another
            file, for example without EXIF data or as PNG, counts as the same photo.
        thumbnails: keep the thumbnail of each photo, 5 KB.
    """

    def inspect_one(photo: LabelledPhoto) -> CheckedPhoto | BrokenPhoto:
        try:
            data = contents(photo.path)
            image = decode_full(data, max_pixels)
        except ServiceError as error:
            return BrokenPhoto(photo.path, error)
        compared = f"{image.size}".encode() + image.tobytes() if by_pixels else data
        content, small = hashlib.sha256(compared).hexdigest(), thumbnail(image)
        kept = small if thumbnails else None
        return CheckedPhoto(*photo, content, image.size, fingerprint(small), kept)

    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(inspect_one, photos)


def check(
    outcomes: Iterable[CheckedPhoto | BrokenPhoto],
    parts: Mapping[str, Dataset],
    closer: CloserLook | None = None,
) -> CheckResult:
    """Return the problems of a data set.

    Args:
        outcomes: of `inspect`, for all of its photos.
        parts: the data set.
        closer: what else was found in the readable photos. Without it, near-duplicates are those
            that the hashes of the photos show.
    """
    photos, broken = divide(outcomes)
    pairs = closer.pairs if closer else pairs_by_hash([photo.print for photo in photos])
    exact = copies(photos, np.empty((0, 2), np.intp))
    found = copies(photos, pairs)
    return CheckResult(
        tuple(photos),
        tuple(broken),
        leaks=tuple(group for group in exact if _differs(group, "part")),
        contradictions=tuple(group for group in exact if _differs(group, "label")),
        duplicates=tuple(group for group in exact if kind(group) == "twice"),
        unknown=_unknown(parts),
        empty=_empty(photos, parts),
        near=tuple(group for group in found if _differs(group, "content")),
        pairs=pairs,
        suspects=closer.suspects if closer else (),
        left_out=closer.left_out if closer else (),
    )


def divide(
    outcomes: Iterable[CheckedPhoto | BrokenPhoto],
) -> tuple[list[CheckedPhoto], list[BrokenPhoto]]:
    """Return the readable photos and the broken ones."""
    photos: list[CheckedPhoto] = []
    broken: list[BrokenPhoto] = []
    for outcome in outcomes:
        if isinstance(outcome, CheckedPhoto):
            photos.append(outcome)
        else:
            broken.append(outcome)
    return photos, broken


def copies(photos: Sequence[CheckedPhoto], pairs: Pairs | None = None) -> list[Group]:
    """Return the groups of photos that are copies of each other, near-duplicates included.

    Args:
        photos: the readable photos.
        pairs: near-duplicates; by default, those that the hashes of the photos show.
    """
    if pairs is None:
        pairs = pairs_by_hash([photo.print for photo in photos])
    groups = components(len(photos), np.concatenate([_equal_pairs(photos), pairs]))
    return [tuple(photos[number] for number in group) for group in groups]


def contents_by_file(photos: Sequence[CheckedPhoto], pairs: Pairs | None = None) -> dict[Path, str]:
    """Return for each file a content that it shares with its copies and its near-duplicates.

    Args:
        photos: the readable photos.
        pairs: as in `copies`.
    """
    content = {photo.path: photo.content for photo in photos}
    for group in copies(photos, pairs):
        least = min(photo.content for photo in group)
        content |= dict.fromkeys((photo.path for photo in group), least)
    return content


def _equal_pairs(photos: Sequence[CheckedPhoto]) -> Pairs:
    """Return each photo with the first one of the same content."""
    first: dict[str, int] = {}
    pairs = [(first.setdefault(photo.content, i), i) for i, photo in enumerate(photos)]
    return np.array(pairs, np.intp).reshape(-1, 2)


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
