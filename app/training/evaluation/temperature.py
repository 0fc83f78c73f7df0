"""Temperature scaling: fits the one number that makes a classifier's scores honest.

The logits are divided by the temperature, which does not change the order of the classes. Source:
Guo et al., "On Calibration of Modern Neural Networks", https://arxiv.org/abs/1706.04599.
"""

import math

import numpy as np
import numpy.typing as npt

_TEMPERATURES = np.geomspace(0.05, 20, 181)
_TINY = np.finfo(np.float64).tiny


def fit_temperature(logits: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]) -> float:
    """Return the temperature that maximises the penalised likelihood of held-out photos.

    If all answers are right, the likelihood alone would give a temperature of 0 and scores of 1.
    Firth's penalty, which is Jeffreys' prior of 1 / temperature, prevents this and takes away most
    of the bias that few photos cause. It adds about half a wrong answer. Source: Kosmidis and
    Firth, "Jeffreys-prior penalty, finiteness and shrinkage in binomial-response generalized linear
    models", https://arxiv.org/abs/1812.01938.

    Args:
        logits: (N, classes); any constant may be added to a row.
        labels: (N,) the true classes.
    """
    centred = logits.astype(np.float64)
    centred -= centred.max(axis=1, keepdims=True)

    def loss(temperature: float) -> float:
        scaled = centred / temperature
        log_p = scaled - np.log(np.exp(scaled).sum(axis=1, keepdims=True))
        p = np.exp(log_p)
        mean = (p * centred).sum(axis=1, keepdims=True)
        # The Fisher information of 1 / temperature is the sum of the variances of the logits.
        information = (p * (centred - mean) ** 2).sum()
        likelihood = log_p[np.arange(len(labels)), labels].sum()
        return float(-likelihood - math.log(max(information, _TINY)) / 2)

    # Few photos may give more than one minimum, so all temperatures are tried.
    return float(min(_TEMPERATURES, key=loss))
