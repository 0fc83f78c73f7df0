"""Weights for arithmetic in bfloat16, a float format with only eight significant bits.

Rounding to the nearest number spoils the filters of depthwise convolutions, because the errors of
only nine weights do not average out, and neighbouring pixels are so similar that the errors add up.
Therefore each weight is rounded up or down such that a filter's errors cancel on such pixels.
"""

import itertools

import numpy as np
import numpy.typing as npt

Filters = npt.NDArray[np.float32]  # (channels, 1, 3, 3)

_TAPS = 9
# Two adjacent pixels are assumed to correlate this much. For MobileNetV2's features, all values
# from 0.8 to 0.95 give equally good results.
_CORRELATION = 0.9
_UP_OR_DOWN = np.array([*itertools.product([False, True], repeat=_TAPS)])  # (512, 9)


def rounded(filters: Filters) -> Filters:
    """Return `filters` (channels, 1, 3, 3) rounded to numbers that bfloat16 can represent.

    Each weight becomes one of its two neighbours in bfloat16; the array stays float32.
    """
    weights = np.ascontiguousarray(filters).reshape(-1, _TAPS)  # (channels, 9)
    # `down` is the neighbour towards zero, `up` the one away from zero.
    down = (weights.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
    up = (down.view(np.uint32) + np.uint32(0x10000)).view(np.float32)
    root = _correlation_root()
    # For each channel, `best` is the row of _UP_OR_DOWN whose errors matter least.
    best = [
        np.square(np.where(_UP_OR_DOWN, too_high, too_low) @ root).sum(axis=1).argmin()
        for too_low, too_high in zip(down - weights, up - weights, strict=True)
    ]
    return np.where(_UP_OR_DOWN[best], up, down).reshape(filters.shape)


def _correlation_root() -> npt.NDArray[np.float64]:
    """Return the Cholesky root (9, 9) of the correlations of the nine pixels under a filter."""
    y, x = np.divmod(np.arange(_TAPS), 3)
    steps = np.abs(y[:, np.newaxis] - y) + np.abs(x[:, np.newaxis] - x)
    return np.linalg.cholesky(_CORRELATION**steps)
