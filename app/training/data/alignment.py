"""Tells whether one photo is the other one, cropped or mirrored: lays both on top of each other.

The edges of a crop are found by Gauss-Newton steps (the method of Lucas and Kanade, 1981), from
coarse to fine. Then the fine detail of both pictures is compared, because the coarse shapes of two
photos of the same kind of thing may well agree.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from app.training.data.fingerprint import Thumbnail

_Floats = npt.NDArray[np.float32]

# A search starts with these shares cut off each side, and may end with at most the last one.
_STARTS, _MOST_CUT = (0.0, 0.04, 0.08), 0.16
# The levels from coarse to fine: how often the pixels are halved, and the number of steps.
_LEVELS = ((2, 4), (1, 3), (0, 3))
# Pairs that correlate less than this are given up: first by their shapes at the coarsest level,
# where copies have 0.67 and more, then by their detail at the next one, where they have 0.48.
_LEAST_SHAPE, _LEAST_DETAIL = 0.6, 0.3
_BATCH = 256
_DETAIL = 5  # pixels
_TINY = 1e-3


def likeness(first: Thumbnail, second: Thumbnail, threads: int = 1) -> _Floats:
    """Return the correlation of the detail of pairs of thumbnails (P, 72, 72): (P,), at most 1.

    Either photo of a pair may be a crop of the other one, mirrored or not. Pairs that are not worth
    a close look get 0.
    """
    batches = [slice(start, start + _BATCH) for start in range(0, len(first), _BATCH)]
    with ThreadPoolExecutor(threads) as pool:
        found = pool.map(lambda batch: _likeness(first[batch], second[batch]), batches)
        return np.concatenate([np.empty(0, np.float32), *found])


def _likeness(first: Thumbnail, second: Thumbnail) -> _Floats:
    one, other = first.astype(np.float32), second.astype(np.float32)
    best = np.zeros(len(one), np.float32)
    for whole, part in ((one, other), (other, one)):
        for crop in (part, part[:, :, ::-1]):
            best = np.maximum(best, _detail_of_crop(whole, crop))
    return best


def _detail_of_crop(whole: _Floats, crop: _Floats) -> _Floats:
    """Return the correlation of the detail of each `crop` with its place in `whole`."""
    found = np.zeros(len(whole), np.float32)
    left, edges = np.arange(len(whole)), _starts(*(_halved(side, 2) for side in (whole, crop)))
    for halvings, steps in _LEVELS:
        sides = _halved(whole[left], halvings), _halved(crop[left], halvings)
        edges = _fitted(*sides, edges, steps)
        seen = _cut(sides[0], edges)
        if halvings == 2:
            worthwhile = _correlation(seen, sides[1]) >= _LEAST_SHAPE
        else:
            detail = _correlation(_detail(seen), _detail(sides[1]))
            worthwhile = detail >= _LEAST_DETAIL
        left, edges = left[worthwhile], edges[worthwhile]
    found[left] = detail[worthwhile]
    return found


def _starts(whole: _Floats, crop: _Floats) -> _Floats:
    """Return the edges (P, 4) of the crops at which the search begins: left, right, top, bottom.

    Edges are shares of the width and of the height.
    """
    starts = np.array([(cut, 1 - cut, cut, 1 - cut) for cut in _STARTS], np.float32)
    scores = [_correlation(_cut(whole, np.tile(edges, (len(crop), 1))), crop) for edges in starts]
    return np.asarray(starts[np.argmax(scores, axis=0)])


def _fitted(whole: _Floats, crop: _Floats, edges: _Floats, steps: int) -> _Floats:
    """Return the edges after some Gauss-Newton steps towards the least squared difference."""
    count, height, width = crop.shape
    across, down = _centres(width)[None, :], _centres(height)[:, None]
    whole, target = _standard(whole), _standard(crop)
    gradient_y, gradient_x = (np.gradient(whole, axis=axis) for axis in (1, 2))
    ones = np.ones_like(target)
    for _ in range(steps):
        seen = _cut(whole, edges)
        to_right, to_bottom = _cut(gradient_x, edges) * width, _cut(gradient_y, edges) * height
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


def _cut(whole: _Floats, edges: _Floats) -> _Floats:
    """Cut pictures (P, H, W) at the edges, and enlarge them to their size bilinearly."""
    height, width = whole.shape[1:]
    left, right, top, bottom = edges.T[:, :, None]
    across, down = _centres(width), _centres(height)
    columns = _weights(left * (1 - across) + right * across, width)
    rows = _weights(top * (1 - down) + bottom * down, height)
    return np.asarray(rows @ whole @ columns.transpose(0, 2, 1), np.float32)


def _weights(places: _Floats, size: int) -> _Floats:
    """Return the weight of each of `size` pixels at places (P, M) between 0 and 1: (P, M, size)."""
    pixels = np.clip(places * size - 0.5, 0, size - 1)[..., None]
    weights = np.maximum(0, 1 - np.abs(pixels - np.arange(size, dtype=np.float32)))
    return np.asarray(weights, np.float32)


def _centres(size: int) -> _Floats:
    return np.asarray((np.arange(size) + 0.5) / size, np.float32)


def _halved(pictures: _Floats, times: int) -> _Floats:
    factor = 2**times
    count, height, width = pictures.shape
    fields = pictures.reshape(count, height // factor, factor, width // factor, factor)
    return np.asarray(fields.mean(axis=(2, 4)), np.float32)


def _standard(pictures: _Floats) -> _Floats:
    """Return the pictures with mean 0 and standard deviation 1; a picture of one colour is 0."""
    centred = pictures - pictures.mean(axis=(1, 2), keepdims=True)
    return np.asarray(centred / (centred.std(axis=(1, 2), keepdims=True) + _TINY), np.float32)


def _correlation(first: _Floats, second: _Floats) -> _Floats:
    return np.asarray((_standard(first) * _standard(second)).mean(axis=(1, 2)), np.float32)


def _detail(pictures: _Floats) -> _Floats:
    """Return the pictures without what a blur of 5 x 5 pixels leaves."""
    margin = _DETAIL // 2
    padded = np.pad(pictures, ((0, 0), (margin + 1, margin), (margin + 1, margin)), mode="edge")
    sums = padded.cumsum(axis=1, dtype=np.float64).cumsum(axis=2)
    window = sums[:, _DETAIL:, _DETAIL:] - sums[:, :-_DETAIL, _DETAIL:]
    window += sums[:, :-_DETAIL, :-_DETAIL] - sums[:, _DETAIL:, :-_DETAIL]
    return np.asarray(pictures - window / _DETAIL**2, np.float32)
