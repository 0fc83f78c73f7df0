"""Temperature scaling: fits the one number that makes a classifier's scores honest.

The logits are divided by the temperature, which does not change the order of the classes. Source:
Guo et al., "On Calibration of Modern Neural Networks", https://arxiv.org/abs/1706.04599.
"""

import math

import numpy as np
import numpy.typing as npt

_MIN_TEMPERATURE, _MAX_TEMPERATURE = 0.05, 20.0
_STEPS = 60
_GOLDEN_SECTION = (math.sqrt(5) - 1) / 2


def fit_temperature(logits: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]) -> float:
    """Return the temperature that minimises the negative log-likelihood of held-out photos.

    Platt's targets replace the labels, as if there were one more right and one more wrong answer.
    If all answers are right, the labels alone would give a temperature of 0 and scores of 1.

    Args:
        logits: (N, classes); any constant may be added to a row.
        labels: (N,) the true classes.
    """
    photos, classes = logits.shape
    spread = 1 / (photos + 2)
    target = np.full(logits.shape, spread / max(classes - 1, 1))  # (N, classes)
    target[np.arange(photos), labels] = 1 - spread

    def nll(log_t: float) -> float:
        scaled = logits.astype(np.float64) / math.exp(log_t)
        scaled -= scaled.max(axis=1, keepdims=True)
        log_p = scaled - np.log(np.exp(scaled).sum(axis=1, keepdims=True))
        return float(-(target * log_p).sum(axis=1).mean())

    low, high = math.log(_MIN_TEMPERATURE), math.log(_MAX_TEMPERATURE)
    # A golden-section search is enough, because `nll` is convex in 1 / t and has one minimum.
    for _ in range(_STEPS):
        left, right = high - _GOLDEN_SECTION * (high - low), low + _GOLDEN_SECTION * (high - low)
        if nll(left) < nll(right):
            high = right
        else:
            low = left
    return math.exp((low + high) / 2)
