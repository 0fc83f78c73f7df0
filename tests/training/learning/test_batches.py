"""Where the inputs of the training steps are kept, and which epoch is the best."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.training.data.dataset import Sample
from app.training.learning import batches
from app.training.learning.choice import best_size, better, improved
from app.training.learning.inputs import first_of_each


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


def test_the_regression_learns_from_every_class_of_a_large_data_set() -> None:
    samples = [Sample(Path(f"{i}.png"), int(c)) for i, c in enumerate("0000011112")]
    assert first_of_each(samples, 10) == samples
    assert [sample.path.stem for sample in first_of_each(samples, 5)] == ["0", "1", "5", "6", "9"]
    # No class may be missing.
    assert [sample.path.stem for sample in first_of_each(samples, 1)] == ["0", "5", "9"]


def row(loss: float, phase: str = "fine-tuning") -> dict[str, Any]:
    return {"phase": phase, "val_loss": loss, "val_error": 0.02, "val_top1": loss}


def test_the_last_epoch_without_a_clear_loss_is_the_best() -> None:
    assert better(row(0.3), [])
    assert better(row(0.29), [row(0.3)])
    assert better(row(0.31), [row(0.3)])
    assert not better(row(0.33), [row(0.3)])
    # The lowest loss counts, so small steps upwards do not add up.
    assert not better(row(0.33), [row(0.3), row(0.315)])


def test_another_size_than_the_middle_one_must_be_clearly_better() -> None:
    assert best_size({224: (0.29, 0.02), 256: (0.3, 0.02), 288: (0.28, 0.02)}) == 256
    assert best_size({224: (0.27, 0.02), 256: (0.3, 0.02), 288: (0.28, 0.02)}) == 224
    assert best_size({32: (0.3, 0.02)}) == 32


def test_fine_tuning_must_beat_the_regression() -> None:
    regression = row(0.3, "regression")
    assert not better(row(0.31), [regression])
    assert not better(row(0.3), [regression])
    assert better(row(0.29), [regression])
    assert better(row(0.295), [regression, row(0.29)])
    assert not better(row(0.305), [regression, row(0.29)])


def test_only_a_lower_loss_keeps_a_phase_going() -> None:
    assert improved(row(0.3), [])
    assert improved(row(0.29), [row(0.3)])
    assert not improved(row(0.3), [row(0.3)])
