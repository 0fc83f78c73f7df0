"""Decodes photos, and tells by what copies of each are recognised."""

import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from app.errors import ServiceError
from app.images.decoding import decode_full
from app.images.files import contents
from app.training.copies.fingerprint import Fingerprint, Thumbnail, fingerprint, thumbnail


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
