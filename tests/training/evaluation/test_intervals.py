"""Intervals hold against published figures, and cover the truth as often as they promise."""

import numpy as np
import pytest

from app.training.evaluation.intervals import Paired, wilson


def test_a_published_example() -> None:
    """21 children before and after a transplantation, from Fagerland, Lydersen and Laake."""
    pair = Paired(21, 1, 7)
    assert pair.difference == pytest.approx(-6 / 21)
    assert pair.interval == pytest.approx((-0.508, -0.013), abs=5e-4)
    assert pair.p_value == pytest.approx(0.0391, abs=5e-5)


def test_a_comparison_and_its_mirror() -> None:
    low, high = Paired(272, 9, 2).interval
    assert Paired(272, 2, 9).interval == pytest.approx((-high, -low))
    assert Paired(272, 2, 9).p_value == Paired(272, 9, 2).p_value


def test_classifiers_that_never_differ_are_not_proved_equal() -> None:
    low, high = Paired(272, 0, 0).interval
    assert -0.02 < low < 0 < high < 0.02
    assert Paired(272, 0, 0).p_value == 1
    assert Paired(100_000, 5000, 5100).p_value == pytest.approx(0.32, abs=0.01)


@pytest.mark.parametrize(("photos", "first", "second"), [(68, 0.1, 0.02), (272, 0.03, 0.01)])
def test_the_interval_covers_the_true_difference(photos: int, first: float, second: float) -> None:
    rng = np.random.default_rng(0)
    draws = rng.multinomial(photos, [first, second, 1 - first - second], 4000)
    intervals = [Paired(photos, int(a), int(b)).interval for a, b, _ in draws]
    covered = np.mean([low <= first - second <= high for low, high in intervals])
    assert covered > 0.94


def test_wilson() -> None:
    """The figures for 81 of 263 are those of Newcombe (1998), Statistics in Medicine 17, 857."""
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 10)[0] == 0
    assert wilson(10, 10) == pytest.approx((0.7225, 1), abs=5e-5)
