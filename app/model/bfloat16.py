"""Weights for arithmetic in bfloat16, a float of which only eight bits are significant.

Rounded to the nearest, the filters of depthwise convolutions go wrong: nine weights are too few for
their errors to average out, and neighbouring pixels are so alike that the errors add up. So each
weight goes up or down in the way that lets its filter's errors cancel on such pixels.
"""

import itertools

import numpy as np
import numpy.typing as npt

Filters = npt.NDArray[np.float32]  # (channels, 1, 3, 3)

_TAPS = 9
# How alike two pixels are that touch; of MobileNetV2's features all from 0.8 to 0.95 do as well.
_ALIKE = 0.9
_UP_OR_DOWN = np.array([*itertools.product([False, True], repeat=_TAPS)])  # (512, 9)


def rounded(filters: Filters) -> Filters:
    """Return `filters` in numbers that bfloat16 has: for each weight one of its two neighbours."""
    weights = np.ascontiguousarray(filters).reshape(-1, _TAPS)  # (channels, 9)
    down = (weights.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)  # towards zero
    up = (down.view(np.uint32) + np.uint32(0x10000)).view(np.float32)
    likeness = _likeness()
    best = [  # for each channel the row of _UP_OR_DOWN whose errors matter least
        np.square(np.where(_UP_OR_DOWN, too_high, too_low) @ likeness).sum(axis=1).argmin()
        for too_low, too_high in zip(down - weights, up - weights, strict=True)
    ]
    return np.where(_UP_OR_DOWN[best], up, down).reshape(filters.shape)


def _likeness() -> npt.NDArray[np.float64]:
    """Return a root of how the nine pixels under a filter vary together, (9, 9)."""
    y, x = np.divmod(np.arange(_TAPS), 3)
    steps = np.abs(y[:, np.newaxis] - y) + np.abs(x[:, np.newaxis] - x)
    return np.linalg.cholesky(_ALIKE**steps)
