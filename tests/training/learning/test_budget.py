"""What fine-tuning may cost."""

from app.training.learning.budget import Cost, fit_into

# With 100 photos, six views cost 6 s or 12 s, and an epoch 1 s or 0.5 s.
COSTS = {14: Cost(view=0.01, step=0.01), 17: Cost(view=0.02, step=0.005)}


def test_the_deepest_that_fits_is_taken() -> None:
    assert fit_into(1000, COSTS, 12, 100) == (14, 12)
    assert fit_into(18.1, COSTS, 12, 100) == (14, 12)
    assert fit_into(13.1, COSTS, 12, 100) == (14, 7)
    assert fit_into(11, {14: Cost(0.01, 1.0), 17: Cost(0.01, 0.005)}, 12, 100) == (17, 10)


def test_what_fits_nowhere_is_left_out() -> None:
    assert fit_into(0.1, COSTS, 12, 100) == (14, 0)
    assert fit_into(-5, COSTS, 12, 100)[1] == 0


def test_a_few_epochs_are_better_than_none() -> None:
    assert fit_into(6.1, COSTS, 12, 100) == (14, 3)
    assert fit_into(1000, COSTS, 2, 100) == (14, 2)
