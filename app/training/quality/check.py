"""Checks the photos of a data set: broken files, copies, and leaks between its parts."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from app.training.copies.groups import Group, copies
from app.training.copies.inspection import BrokenPhoto, CheckedPhoto, divide
from app.training.copies.near_duplicates import Pairs, pairs_by_hash
from app.training.data.dataset import Dataset
from app.training.quality.wrong_labels import Suspect


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
