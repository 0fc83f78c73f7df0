"""Rounded weights: errors that cancel, and products that do not overflow without VNNI."""

import numpy as np
import pytest

from app.training.quantization.layers import Doubles
from app.training.quantization.rounding import rounded


def alike(inputs: int, groups: int = 1) -> Doubles:
    """Return the covariance of inputs that are nearly the same, as adjacent pixels are."""
    return np.full((groups, inputs, inputs), 1000.0) + 20 * np.eye(inputs)


def error(weights: Doubles, made: Doubles, covariance: Doubles) -> float:
    """Return the mean square that rounding adds to the filters' outputs."""
    off = made - weights
    return float(np.einsum("gfi,gij,gfj->gf", off, covariance, off).mean())


@pytest.mark.parametrize(("groups", "filters", "inputs", "taps"), [(6, 1, 9, 9), (1, 5, 96, 1)])
def test_errors_cancel(groups: int, filters: int, inputs: int, taps: int) -> None:
    weights = np.random.default_rng(0).normal(size=(groups, filters, inputs))
    covariance = alike(inputs, groups)
    integers, unit = rounded(weights, covariance, taps)
    nearest = unit * np.round(weights / unit)
    assert np.abs(unit * integers - weights).max() < 3 * unit.max()
    assert error(weights, unit * integers, covariance) < 0.5 * error(weights, nearest, covariance)


@pytest.mark.parametrize(("inputs", "taps"), [(64, 1), (7, 1), (36, 9), (27, 9)])
def test_no_pair_of_products_overflows_16_bits(inputs: int, taps: int) -> None:
    # All weights have the same size, so that nearly all pairs lie at the bound.
    rng = np.random.default_rng(0)
    weights = rng.choice([-1.0, 1.0], (1, 50, inputs)) * rng.uniform(0.95, 1, (1, 50, inputs))
    integers, _ = rounded(weights, alike(inputs), taps)
    channels = integers.reshape(50, inputs // taps, taps)
    pairs = channels[:, : channels.shape[1] // 2 * 2].reshape(50, -1, 2, taps)
    highest = 255 * np.maximum(pairs, 0).sum(axis=2)
    lowest = 255 * np.minimum(pairs, 0).sum(axis=2)
    assert 32000 < highest.max() <= np.iinfo(np.int16).max
    assert np.iinfo(np.int16).min <= lowest.min() < -32000
    assert np.abs(integers).max() <= 127


def test_a_filter_without_neighbours_has_all_8_bits() -> None:
    weights = np.random.default_rng(0).normal(size=(4, 1, 9))
    integers, unit = rounded(weights, alike(9, 4), 9)
    assert np.abs(integers).max(axis=2).min() > 120
    np.testing.assert_allclose(unit[:, :, 0], np.abs(weights).max(axis=2) / 127)


def test_weights_and_inputs_that_are_zero() -> None:
    integers, unit = rounded(np.zeros((1, 2, 4)), np.zeros((1, 4, 4)), 1)
    assert not integers.any()
    assert np.isfinite(unit).all()
