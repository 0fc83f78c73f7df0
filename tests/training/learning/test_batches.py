"""Where the inputs of the training steps are kept, and which epoch is the best."""

import numpy as np
import pytest

from app.training.learning import batches
from app.training.learning.choice import better


def test_large_arrays_lie_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    small = batches.empty((3, 4))
    monkeypatch.setattr(batches, "_MAX_IN_MEMORY", 20)
    large = batches.empty((3, 4))
    assert not isinstance(small, np.memmap)
    assert isinstance(large, np.memmap)
    for array in (small, large):
        array[:] = np.arange(12).reshape(3, 4)
        assert array.dtype == np.float16
        np.testing.assert_array_equal(array[[2, 0]], [[8, 9, 10, 11], [0, 1, 2, 3]])


def test_the_loss_and_not_the_accuracy_chooses_the_best_epoch() -> None:
    best = {"val_loss": 0.3, "val_top1": 0.9}
    assert better(best, None)
    assert better({"val_loss": 0.29, "val_top1": 0.8}, best)
    assert not better({"val_loss": 0.31, "val_top1": 1.0}, best)
    assert not better(best, best)
