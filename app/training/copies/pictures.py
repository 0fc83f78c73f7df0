"""Arithmetic on stacks of grey pictures (P, H, W), many of them at a time."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

_BLUR = 5  # pixels
_TINY = 1e-3


def shrunk(pictures: npt.NDArray[np.uint8] | Floats, factor: int) -> Floats:
    """Return the pictures with one pixel for each field of `factor` x `factor` pixels."""
    count, height, width = pictures.shape
    fields = pictures.reshape(count, height // factor, factor, width // factor, factor)
    return np.asarray(fields.mean(axis=(2, 4), dtype=np.float32))


def cut(pictures: Floats, edges: Floats) -> Floats:
    """Cut the pictures at the edges, and enlarge them to their size bilinearly.

    Args:
        pictures: (P, H, W).
        edges: (P, 4), left, right, top and bottom, as shares of the width and of the height.
    """
    height, width = pictures.shape[1:]
    left, right, top, bottom = edges.T[:, :, None]
    across, down = centres(width), centres(height)
    columns = _weights(left * (1 - across) + right * across, width)
    rows = _weights(top * (1 - down) + bottom * down, height)
    return np.asarray(rows @ pictures @ columns.transpose(0, 2, 1), np.float32)


def centres(size: int) -> Floats:
    """Return where the centres of `size` pixels lie between 0 and 1."""
    return np.asarray((np.arange(size) + 0.5) / size, np.float32)


def standard(pictures: Floats) -> Floats:
    """Return the pictures with mean 0 and standard deviation 1; a picture of one colour is 0."""
    centred = pictures - pictures.mean(axis=(1, 2), keepdims=True)
    return np.asarray(centred / (centred.std(axis=(1, 2), keepdims=True) + _TINY), np.float32)


def detail(pictures: Floats) -> Floats:
    """Return the standard form of what a blur of 5 x 5 pixels takes away from the pictures."""
    margin = _BLUR // 2
    padded = np.pad(pictures, ((0, 0), (margin + 1, margin), (margin + 1, margin)), mode="edge")
    sums = padded.cumsum(axis=1, dtype=np.float64).cumsum(axis=2)
    window = sums[:, _BLUR:, _BLUR:] - sums[:, :-_BLUR, _BLUR:]
    window += sums[:, :-_BLUR, :-_BLUR] - sums[:, _BLUR:, :-_BLUR]
    return standard(np.asarray(pictures - window / _BLUR**2, np.float32))


def _weights(places: Floats, size: int) -> Floats:
    """Return the weight of each of `size` pixels at places (P, M) between 0 and 1: (P, M, size)."""
    pixels = np.clip(places * size - 0.5, 0, size - 1)[..., None]
    weights = np.maximum(0, 1 - np.abs(pixels - np.arange(size, dtype=np.float32)))
    return np.asarray(weights, np.float32)
