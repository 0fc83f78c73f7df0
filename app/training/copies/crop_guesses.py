"""Guesses quickly which photos may be crops of others, and where in these they lie.

The detail of 36 crops of each photo, in 24 x 24 pixels, is compared with that of other photos. A
matrix product does so for all photos that are to be compared with one.
"""

from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from app.training.copies.fingerprint import Thumbnail
from app.training.copies.pictures import Floats, cut, detail, shrunk

_Indices = npt.NDArray[np.intp]

# The shares that are cut off two opposite sides. A side of a crop of 0 to 10 % is at most 4 % away.
_CUTS = ((0, 0), (0, 0.08), (0.08, 0), (0.03, 0.05), (0.06, 0.1), (0.1, 0.06))
_EDGES = np.array(
    [(left, 1 - right, top, 1 - low) for (left, right), (top, low) in product(_CUTS, _CUTS)],
    np.float32,
)
_SHRINK = 3
# All of 3,408 copies correlated by 0.36 and more, and all but one of them by 0.44 and more; of the
# pairs of other photos, 0.4 % did.
_LEAST = 0.35
# The crops of this many photos are made at a time.
_BLOCK = 64


class Guesses(NamedTuple):
    """Pairs of which one photo may be a crop of the other one.

    Attributes:
        rows: (G,), which of the pairs these are.
        pairs: (G, 2), the whole photo and its crop.
        mirrored: (G,), whether the crop is mirrored.
        edges: (G, 4), about where the crop lies in the whole photo: left, right, top, bottom.
    """

    rows: _Indices
    pairs: _Indices
    mirrored: npt.NDArray[np.bool_]
    edges: Floats


def guesses(thumbnails: Thumbnail, pairs: _Indices, threads: int = 1) -> Guesses:
    """Return the pairs that are worth a close look.

    Args:
        thumbnails: (N, 72, 72).
        pairs: (P, 2), photos of which either may be a crop of the other one, mirrored or not.
        threads: how many of them compare photos.
    """
    either = np.concatenate([pairs, pairs[:, ::-1]])
    order = np.argsort(either[:, 0], kind="stable")
    wholes, starts = np.unique(either[order, 0], return_index=True)
    rows_of = np.split(order, starts[1:])
    small = shrunk(thumbnails, _SHRINK)
    details = np.concatenate([detail(small[i : i + 4096]) for i in range(0, len(small), 4096)])
    scores, places = np.zeros(len(either), np.float32), np.zeros(len(either), np.intp)

    def compare(start: int) -> None:
        some = wholes[start : start + _BLOCK]
        for crops, rows in zip(_crops(small[some]), rows_of[start : start + _BLOCK], strict=True):
            scores[rows], places[rows] = _best(crops, details[either[rows, 1]])

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(compare, range(0, len(wholes), _BLOCK)))
    halves = scores.reshape(2, -1)
    rows = np.flatnonzero(halves.max(axis=0, initial=0) >= _LEAST)
    best = rows + len(pairs) * halves[:, rows].argmax(axis=0)
    crop, mirrored = np.divmod(places[best], 2)
    return Guesses(rows, either[best], mirrored == 1, _EDGES[crop])


def _crops(pictures: Floats) -> Floats:
    """Return the detail of all crops of pictures (P, H, W) that are tried: (P, crops, H x W)."""
    edges = np.tile(_EDGES, (len(pictures), 1))
    cropped = cut(np.repeat(pictures, len(_EDGES), axis=0), edges)
    return detail(cropped).reshape(len(pictures), len(_EDGES), -1)


def _best(crops: Floats, details: Floats) -> tuple[Floats, _Indices]:
    """Return the best correlation of each of `details` (P, H, W) with a crop, and its place.

    A place is twice the number of the crop, and one more if the picture is mirrored.
    """
    either = np.stack([details, details[:, :, ::-1]]).reshape(-1, crops.shape[1])
    correlations = (crops @ either.T).reshape(2 * len(crops), len(details)) / crops.shape[1]
    places = correlations.argmax(axis=0)
    return correlations[places, np.arange(len(details))], places
