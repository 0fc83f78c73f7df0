"""Which epoch of a run is the best, and which size of the network's input."""

from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]


def best_size(scores: Mapping[int, tuple[float, float]]) -> int:
    """Return the best size of the network's input.

    It is the middle one, 32 pixels larger than in training, unless the loss of another one is lower
    by more than a standard error.

    Args:
        scores: the loss on the held-out photos and its standard error by size, in rising order.
    """
    usual = list(scores)[len(scores) // 2]
    lowest = min(scores, key=lambda size: scores[size][0])
    loss, error = scores[usual]
    return lowest if scores[lowest][0] < loss - error else usual


def improved(row: Row, before: Sequence[Row]) -> bool:
    """Return whether the loss on the held-out photos is lower than in all epochs before."""
    return all(row["val_loss"] < other["val_loss"] for other in before)


def better(row: Row, before: Sequence[Row]) -> bool:
    """Return whether the epoch of `row` is better than all epochs before it.

    The loss decides and not the top-1 accuracy, because one photo may change the accuracy by luck.
    The loss is a matter of luck, too, and the learning rate falls, so of two epochs of one phase
    the later one is better unless its loss is higher by more than a standard error. An epoch must
    beat the phases before its own by its loss. Source: the rule of one standard error in Breiman
    et al., "Classification and Regression Trees", section 3.4.3.

    Args:
        row: the epoch's metrics.
        before: those of the epochs before it.
    """
    same = [other for other in before if other["phase"] == row["phase"]]
    if not improved(row, [other for other in before if other["phase"] != row["phase"]]):
        return False
    lowest = min(same, key=lambda other: float(other["val_loss"]), default=row)
    return bool(row["val_loss"] <= lowest["val_loss"] + lowest["val_error"])
