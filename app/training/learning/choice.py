"""Which epoch of a run is the best."""

from collections.abc import Mapping
from typing import Any


def better(row: Mapping[str, Any], best: Mapping[str, Any] | None) -> bool:
    """Return whether the epoch of `row` is better than the best epoch before it.

    The loss decides and not the top-1 accuracy, because one photo may change the accuracy by luck.

    Args:
        row: the epoch's metrics.
        best: those of the best epoch so far; None if there is none.
    """
    return best is None or row["val_loss"] < best["val_loss"]
