"""Tells whether one photo is the other one, cropped or mirrored: lays both on top of each other.

The edges of a crop are guessed, and then found by Gauss-Newton steps (the method of Lucas and
Kanade, 1981), from coarse to fine. Then the fine detail of both pictures is compared, because the
coarse shapes of two photos of the same kind of thing may well agree.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from app.training.copies.crop_guesses import guesses
from app.training.copies.fingerprint import Thumbnail
from app.training.copies.pictures import Floats, centres, cut, detail, shrunk, standard

# A crop lacks at most this share of a side.
_MOST_CUT = 0.16
# The levels from coarse to fine: the pixels of a side that become one, and the number of steps.
_LEVELS = ((2, 3), (1, 3))
# Pairs whose detail correlates less at the coarse level are given up.
_LEAST_DETAIL = 0.3
_BATCH = 256
_TINY = 1e-3


def likeness(thumbnails: Thumbnail, pairs: npt.NDArray[np.intp], threads: int = 1) -> Floats:
    """Return the correlation of the detail of pairs of photos: (P,), at most 1.

    Pairs that are not worth a close look get 0.

    Args:
        thumbnails: (N, 72, 72).
        pairs: (P, 2), photos of which either may be a crop of the other one, mirrored or not.
        threads: how many of them compare photos.
    """
    found = np.zeros(len(pairs), np.float32)
    guessed = guesses(thumbnails, pairs, threads)

    def compare(start: int) -> None:
        some = slice(start, start + _BATCH)
        whole, crop = thumbnails[guessed.pairs[some].T].astype(np.float32)
        mirrored = guessed.mirrored[some]
        crop[mirrored] = crop[mirrored, :, ::-1]
        found[guessed.rows[some]] = _detail_of_crop(whole, crop, guessed.edges[some])

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(compare, range(0, len(guessed.rows), _BATCH)))
    return found


def _detail_of_crop(whole: Floats, crop: Floats, edges: Floats) -> Floats:
    """Return the correlation of the detail of each crop with its place; `edges` are guesses."""
    found, left = np.zeros(len(whole), np.float32), np.arange(len(whole))
    for factor, steps in _LEVELS:
        sides = shrunk(whole[left], factor), shrunk(crop[left], factor)
        fitted = _fitted(*sides, edges, steps)
        before, after = _alike(*sides, edges), _alike(*sides, fitted)
        # Steps lead away from good edges if a fine texture repeats itself.
        edges = np.where((after > before)[:, None], fitted, edges)
        alike = np.maximum(before, after)
        worthwhile = alike >= _LEAST_DETAIL
        left, edges = left[worthwhile], edges[worthwhile]
    found[left] = alike[worthwhile]
    return found


def _alike(whole: Floats, crop: Floats, edges: Floats) -> Floats:
    """Return the correlation of the detail within the edges with that of the crop."""
    return np.asarray((detail(cut(whole, edges)) * detail(crop)).mean(axis=(1, 2)))


def _fitted(whole: Floats, crop: Floats, edges: Floats, steps: int) -> Floats:
    """Return the edges after some Gauss-Newton steps towards the least squared difference."""
    count, height, width = crop.shape
    across, down = centres(width)[None, :], centres(height)[:, None]
    whole, target = standard(whole), standard(crop)
    gradient_y, gradient_x = (np.gradient(whole, axis=axis) for axis in (1, 2))
    ones = np.ones_like(target)
    for _ in range(steps):
        seen = cut(whole, edges)
        to_right, to_bottom = cut(gradient_x, edges) * width, cut(gradient_y, edges) * height
        slopes = np.stack(
            # Contrast and brightness are fitted as well, so that they do not move the edges.
            [
                *(to_right * (1 - across), to_right * across),
                *(to_bottom * (1 - down), to_bottom * down),
                *(seen, ones),
            ],
            axis=1,
        ).reshape(count, 6, height * width)
        normal = slopes @ slopes.transpose(0, 2, 1)
        damping = _TINY * np.trace(normal, axis1=1, axis2=2) / 6 + 10 * _TINY
        normal += damping[:, None, None] * np.eye(6, dtype=np.float32)
        moved = np.linalg.solve(normal, slopes @ (target - seen).reshape(count, height * width, 1))[
            :, :4, 0
        ]
        edges = edges + np.clip(moved, -0.05, 0.05)
        edges[:, ::2] = np.clip(edges[:, ::2], 0, _MOST_CUT)
        edges[:, 1::2] = np.clip(edges[:, 1::2], 1 - _MOST_CUT, 1)
    return np.asarray(edges, np.float32)
