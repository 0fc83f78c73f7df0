"""The rows of a run's `metrics.jsonl`, one for each epoch, as curves."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

Rows = Sequence[Mapping[str, Any]]
Values = list[float]


def both_curves(rows: Rows) -> Iterator[tuple[str, Values, Values]]:
    """Yield (title, values of the training views, values of the held-out photos), twice.

    The loss is the plain cross-entropy of both, if the run has recorded it: then the curves can be
    compared. Older runs have recorded only the training loss, with its label smoothing.
    """
    if comparable(rows):
        yield "cross-entropy", _values(rows, "plain_loss"), _values(rows, "val_plain_loss")
    else:
        yield "loss", _values(rows, "loss"), _values(rows, "val_loss")
    yield "top-1", _values(rows, "top1"), _values(rows, "val_top1")


def comparable(rows: Rows) -> bool:
    """Return whether every row has the same loss for the training views as for the held-out."""
    return all("plain_loss" in row and "val_plain_loss" in row for row in rows)


def best_epoch(rows: Rows) -> int:
    """Return the number of the run's best epoch, from 1 at the start of the run."""
    marked = (number for number, row in enumerate(rows, 1) if row.get("best"))
    return max(marked, default=len(rows))


def phase_ends(rows: Rows) -> list[int]:
    """Return the numbers of the epochs after which another phase begins."""
    pairs = enumerate(pairwise(rows), 1)
    return [number for number, (row, after) in pairs if row["phase"] != after["phase"]]


def _values(rows: Rows, name: str) -> Values:
    return [float(row.get(name, "nan")) for row in rows]
