"""Groups of photos that are copies of each other."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from app.training.copies.inspection import CheckedPhoto
from app.training.copies.near_duplicates import Pairs, components, pairs_by_hash

Group = tuple[CheckedPhoto, ...]


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
