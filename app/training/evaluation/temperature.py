"""One number that makes a classifier's scores as sure as they should be.

Guo et al., "On Calibration of Modern Neural Networks", https://arxiv.org/abs/1706.04599: the logits
are divided by a temperature, which leaves the order of the classes as it is.
"""

import math

import numpy as np
import numpy.typing as npt

_MIN, _MAX = 0.05, 20.0
_ROUNDS = 60
_GOLDEN = (math.sqrt(5) - 1) / 2


def fit_temperature(logits: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]) -> float:
    """Return the temperature that minimises the negative log-likelihood of photos held out.

    Platt's targets stand for the labels, one photo more of every kind: where every photo is right,
    the likeliest temperature would be 0 and every score 1.

    Args:
        logits: (N, classes), up to a constant a row.
        labels: (N,) the right classes.
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

    low, high = math.log(_MIN), math.log(_MAX)
    for _ in range(_ROUNDS):  # convex in 1 / t, so it has one valley
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        if nll(left) < nll(right):
            high = right
        else:
            low = left
    return math.exp((low + high) / 2)
