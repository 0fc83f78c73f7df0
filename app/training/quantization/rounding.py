"""Weights rounded to integers such that the errors of a filter cancel on real inputs.

Source: Frantar et al., "GPTQ", https://arxiv.org/abs/2210.17323. One weight of each filter after
another is rounded, and those that are not rounded yet take over its error.

Without VNNI, a processor multiplies pairs of adjacent channels and adds both products in 16 bits,
where the sum must not overflow: with inputs up to 255, two weights of one sign may have a sum of at
most 128. Weights of 7 bits keep to this; here only those filters become coarser that need to.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from app.training.quantization.layers import Doubles

Indices = npt.NDArray[np.intp]

_HIGHEST = 127
_HIGHEST_SUM = 128
# This share of the mean variance is added to each variance. It keeps the weights of inputs that
# hardly vary near their values, and few photos from being taken for all photos.
_DAMPING = 0.01
# This many weights of a filter are rounded before one matrix product passes their errors on to the
# later weights.
_BLOCK = 64


class Rounded(NamedTuple):
    """Weights as integers, and what they stand for.

    Attributes:
        integers: (groups, filters, inputs), from -127 to 127.
        unit: (groups, filters, 1), the value of the integer 1.
    """

    integers: Doubles
    unit: Doubles


def rounded(weights: Doubles, covariance: Doubles, taps: int) -> Rounded:
    """Round the weights of a layer.

    Args:
        weights: (groups, filters, inputs).
        covariance: of the inputs of the filters, (groups, inputs, inputs).
        taps: the number of pixels under a filter; its inputs are in the order (channel, tap).
    """
    partners = _partners(weights.shape[2], taps)
    unit = _unit(weights, partners)
    variances = np.diagonal(covariance, axis1=1, axis2=2)  # (groups, inputs)
    added = np.maximum(_DAMPING * variances.mean(axis=1), np.finfo(np.float32).tiny)
    damped = covariance + added[:, np.newaxis, np.newaxis] * np.eye(weights.shape[2])
    # The weights whose inputs vary most come first, while many others can take over their errors.
    order = np.argsort(-variances.sum(axis=0))
    places = np.argsort(order)
    integers = _in_order(
        weights[:, :, order] / unit, damped[:, order][:, :, order], places[partners[order]]
    )
    return Rounded(integers[:, :, places], unit)


def _partners(inputs: int, taps: int) -> Indices:
    """Return the input whose product is added to that of each input; itself if there is none."""
    channel, tap = np.divmod(np.arange(inputs), taps)
    other = (channel ^ 1) * taps + tap
    return np.where(other < inputs, other, np.arange(inputs))


def _unit(weights: Doubles, partners: Indices) -> Doubles:
    """Return the smallest unit with which a filter's weights keep to the bounds."""
    largest = np.abs(weights).max(axis=2, keepdims=True) / _HIGHEST
    if (paired := partners != np.arange(len(partners))).any():
        for one_sign in (np.maximum(weights, 0), np.maximum(-weights, 0)):
            sums = (one_sign + one_sign[:, :, partners])[:, :, paired]
            largest = np.maximum(largest, sums.max(axis=2, keepdims=True) / _HIGHEST_SUM)
    return np.where(largest > 0, largest, 1)


def _in_order(weights: Doubles, covariance: Doubles, partners: Indices) -> Doubles:
    """Round the weights from the first input to the last."""
    # (groups, inputs, inputs): row i says how the later weights take over the error of weight i.
    shares = np.linalg.cholesky(np.linalg.inv(covariance)).swapaxes(1, 2)
    left, integers = weights.copy(), np.zeros_like(weights)
    inputs = weights.shape[2]
    for start in range(0, inputs, _BLOCK):
        end = min(start + _BLOCK, inputs)
        errors = np.empty_like(left[:, :, start:end])
        for i in range(start, end):
            other = integers[:, :, partners[i]] if partners[i] != i else 0
            # A partner that is not rounded yet is 0 here, and will be bounded by this weight.
            high = np.minimum(_HIGHEST, _HIGHEST_SUM - np.maximum(other, 0))
            low = np.maximum(-_HIGHEST, -_HIGHEST_SUM - np.minimum(other, 0))
            integers[:, :, i] = np.clip(np.round(left[:, :, i]), low, high)
            error = (left[:, :, i] - integers[:, :, i]) / shares[:, i, i, np.newaxis]
            left[:, :, i + 1 : end] -= (
                error[:, :, np.newaxis] * shares[:, np.newaxis, i, i + 1 : end]
            )
            errors[:, :, i - start] = error
        left[:, :, end:] -= errors @ shares[:, start:end, end:]
    return integers
