"""Which epoch of a run is the best, and whether rare classes count as much as frequent ones."""

import math
from collections.abc import Mapping
from typing import Any

from app.training.data.balance import counts, unequal
from app.training.data.holdout import Photos
from app.training.evaluation.recall import Recall
from app.training.options import Options


def balances(options: Options, photos: Photos) -> bool:
    """Return whether every class counts the same, in the loss and in the choice of an epoch.

    Otherwise every photo counts the same.
    """
    if options.class_weights == "auto":
        return unequal(photos.train, len(photos.classes))
    return options.class_weights == "balanced"


def better(row: Mapping[str, Any], best: Mapping[str, Any] | None, *, balanced: bool) -> bool:
    """Return whether the epoch of `row` is better than the best epoch before it.

    Args:
        row: the epoch's metrics.
        best: those of the best epoch so far; None if there is none.
        balanced: every class counts the same: the mean recall decides, and not the top-1 accuracy.
    """
    if best is None:
        return True
    name = "val_recall" if balanced else "val_top1"
    # Runs of earlier versions have no recall.
    before, now = best.get(name, -1.0), row[name]
    return (now, -row["val_loss"]) > (before, -best["val_loss"])


def recall_sentence(row: Mapping[str, Any], photos: Photos) -> str:
    """Return a sentence on the recall of each class in the epoch of `row`."""
    values = row["val_recall_by_class"].values()
    known = tuple(math.nan if value is None else value for value in values)
    return Recall(known, tuple(counts(photos.validation, len(known)))).sentence(photos.classes)
