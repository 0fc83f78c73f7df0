"""Which epoch of a run is the best, which size of the network's input, and what counts for it."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from app.training.data.balance import counts, unequal
from app.training.data.holdout import Photos
from app.training.evaluation.recall import Recall
from app.training.options import Options

Row = Mapping[str, Any]


def balances(options: Options, photos: Photos) -> bool:
    """Return whether every class counts the same, in the loss and in the choice of an epoch.

    Otherwise every photo counts the same.
    """
    if options.class_weights == "auto":
        return unequal(photos.train, len(photos.classes))
    return options.class_weights == "balanced"


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


def improved(row: Row, before: Sequence[Row], *, balanced: bool = False) -> bool:
    """Return whether an epoch is better than all epochs before it, be it by luck or not.

    Args:
        row: the epoch's metrics.
        before: those of the epochs before it.
        balanced: every class counts the same: the mean recall of the held-out photos decides, and
            then their loss, and not their loss alone.
    """
    return all(_merit(row, balanced) > _merit(other, balanced) for other in before)


def better(row: Row, before: Sequence[Row], *, balanced: bool = False) -> bool:
    """Return whether the epoch of `row` is to be kept instead of all epochs before it.

    The loss decides and not the top-1 accuracy, because one photo may change the accuracy by luck.
    The loss is a matter of luck, too, and the learning rate falls, so of two epochs of one phase
    the later one is better unless its loss is higher by more than a standard error. An epoch must
    beat the phases before its own by its loss. Source: the rule of one standard error in Breiman
    et al., "Classification and Regression Trees", section 3.4.3.

    Args:
        row: the epoch's metrics.
        before: those of the epochs before it.
        balanced: every class counts the same, and `improved` alone decides.
    """
    if balanced:
        return improved(row, before, balanced=True)
    same = [other for other in before if other["phase"] == row["phase"]]
    others = [other for other in before if other["phase"] != row["phase"]]
    if not improved(row, others, balanced=False):
        return False
    lowest = min(same, key=lambda other: float(other["val_loss"]), default=row)
    return bool(row["val_loss"] <= lowest["val_loss"] + lowest["val_error"])


def recall_sentence(row: Row, photos: Photos) -> str:
    """Return a sentence on the recall of each class in the epoch of `row`."""
    values = row["val_recall_by_class"].values()
    known = tuple(math.nan if value is None else value for value in values)
    return Recall(known, tuple(counts(photos.validation, len(known)))).sentence(photos.classes)


def _merit(row: Row, balanced: bool) -> tuple[float, float]:
    return (float(row["val_recall"]) if balanced else 0.0, -float(row["val_loss"]))
