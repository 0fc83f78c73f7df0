"""Finds pairs of photos that show the same picture: encoded again, resized, mirrored or cropped."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from app.training.copies.alignment import likeness
from app.training.copies.fingerprint import Fingerprint, Thumbnail

Pairs = npt.NDArray[np.intp]

# The thresholds were set on 568 photos and six copies of each.
# Of 128 bits, copies differed in at most 7, and other photos in at least 18. A hash with few ones
# or few zeros, as of a thing on white, says less or nothing.
_MOST_BITS, _LEAST_RARE = 12, 16
# Of the 64 bits that compare to the right, fewer than 8 may differ: then one byte of 8 is the same.
_BYTES = 8
# A crop was among the 10 photos with the most similar features, and had this cosine or more. In
# larger sets, more photos may be more similar.
_NEIGHBOURS, _LEAST_COSINE = 50, 0.6
# After alignment, the detail of copies correlated by 0.6 and more, and that of photos of different
# moments by at most 0.43.
_LIKENESS = 0.5
# Blocks of a distance matrix have at most this many numbers.
_BLOCK = 16_000_000


def pairs_by_hash(prints: Sequence[Fingerprint]) -> Pairs:
    """Return the pairs (P, 2) of photos that were encoded again, resized or mirrored.

    Photos are compared only with those that share a byte of the hash.
    """
    upright = _words([found.upright for found in prints])
    mirrored = _words([found.mirrored for found in prints])
    return _unique([*_close(upright, upright), *_close(upright, mirrored)])


def pairs_by_features(
    features: npt.NDArray[np.float32], thumbnails: Thumbnail, threads: int = 1
) -> Pairs:
    """Return the pairs (P, 2) of photos of which one may be cropped out of the other.

    Args:
        features: (N, K), what the network sees in each photo.
        thumbnails: (N, H, W), by which photos with similar features are compared.
        threads: how many of them compare photos.
    """
    candidates = _unique(list(_neighbours(features)))
    return candidates[likeness(thumbnails, candidates, threads) >= _LIKENESS]


def components(count: int, pairs: Pairs) -> list[list[int]]:
    """Return the groups that pairs of `count` things make, sorted; lone things are left out."""
    root = list(range(count))

    def find(thing: int) -> int:
        while root[thing] != thing:
            root[thing] = root[root[thing]]
            thing = root[thing]
        return thing

    for first, second in pairs.tolist():
        low, high = sorted((find(first), find(second)))
        root[high] = low
    groups: dict[int, list[int]] = {}
    for thing in range(count):
        groups.setdefault(find(thing), []).append(thing)
    return [group for group in groups.values() if len(group) > 1]


def _words(hashes: Sequence[bytes]) -> npt.NDArray[np.uint64]:
    """Return the hashes as (N, 2) words of 64 bits."""
    return np.frombuffer(b"".join(hashes), np.uint64).reshape(-1, 2)


def _close(first: npt.NDArray[np.uint64], second: npt.NDArray[np.uint64]) -> Iterator[Pairs]:
    ones = np.bitwise_count(first).sum(axis=1, dtype=np.intp)
    rare = np.minimum(ones, 128 - ones)
    limits = np.where(rare < _LEAST_RARE, -1, np.minimum(_MOST_BITS, rare // 4))
    bytes_of = [np.ascontiguousarray(words[:, 0]).view(np.uint8) for words in (first, second)]
    keys, other_keys = (of.reshape(-1, _BYTES).T for of in bytes_of)
    for key, other_key in zip(keys, other_keys, strict=True):
        for value in np.unique(key):
            rows, columns = np.flatnonzero(key == value), np.flatnonzero(other_key == value)
            for some in _blocks(rows, len(columns)):
                distances = np.bitwise_count(first[some, 0][:, None] ^ second[columns, 0])
                i, j = np.nonzero(distances < _BYTES)
                pairs = np.stack([some[i], columns[j]], axis=1)
                different = first[pairs[:, 0]] ^ second[pairs[:, 1]]
                bits = np.bitwise_count(different).sum(axis=1, dtype=np.intp)
                yield pairs[bits <= limits[pairs[:, 0]]]


def _neighbours(features: npt.NDArray[np.float32]) -> Iterator[Pairs]:
    """Yield each photo with the photos whose features are most similar to its own."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    directions = features / np.maximum(lengths, np.finfo(np.float32).tiny)
    for some in _blocks(np.arange(len(features)), len(features)):
        cosines = directions[some] @ directions.T
        cosines[np.arange(len(some)), some] = -1
        last = max(0, len(features) - _NEIGHBOURS)
        # Finding the places of the nearest ones by np.argpartition takes several times as long.
        least = np.partition(cosines, last, axis=1)[:, last, None]
        rows, nearest = np.nonzero(cosines >= np.maximum(least, _LEAST_COSINE))
        yield np.stack([some[rows], nearest], axis=1)


def _blocks(rows: Pairs, columns: int) -> Iterator[Pairs]:
    step = max(1, _BLOCK // max(1, columns))
    return (rows[start : start + step] for start in range(0, len(rows), step))


def _unique(found: Sequence[Pairs]) -> Pairs:
    """Return each pair of different photos once, the photo that comes first in first place."""
    pairs = np.sort(np.concatenate([np.empty((0, 2), np.intp), *found]), axis=1)
    return np.unique(pairs[pairs[:, 0] < pairs[:, 1]], axis=0)
