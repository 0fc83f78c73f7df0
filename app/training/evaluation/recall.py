"""Recall by class: the share of each class's photos that the classifier recognises.

The top-1 accuracy counts photos, so that a large class can hide a small one of which nothing is
recognised. The mean recall counts all classes alike.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from app.training.data.dataset import few
from app.training.evaluation.accuracy import Ints

# A line of text lists at most this many classes.
_MAX_NAMED = 8
# With fewer photos than this, a recall is little more than luck.
_TOO_FEW = 5


class Recall(NamedTuple):
    """The recall of each class.

    Attributes:
        values: (classes,) from 0 to 1; NaN for a class without photos.
        photos: (classes,) the number of photos behind each value.
    """

    values: tuple[float, ...]
    photos: tuple[int, ...]

    @property
    def mean(self) -> float:
        """The mean over the classes that have photos."""
        known = [value for value in self.values if not math.isnan(value)]
        return sum(known) / len(known)

    def named(self, classes: Sequence[str]) -> dict[str, float | None]:
        """Return the recall by the class's name, for JSON; None for a class without photos."""
        values = (None if math.isnan(value) else round(value, 6) for value in self.values)
        return dict(zip(unique_names(classes), values, strict=True))

    def document(self, classes: Sequence[str]) -> dict[str, Any]:
        """Return the mean, and the recall and the number of photos of each class, for JSON."""
        photos = dict(zip(unique_names(classes), self.photos, strict=True))
        return {
            "recall": round(self.mean, 6),
            "recall_by_class": self.named(classes),
            "photos_by_class": photos,
        }

    def sentence(self, classes: Sequence[str]) -> str:
        """Return the mean, and the classes of which photos are missed, with their photos."""
        rows = zip(self.values, self.photos, unique_names(classes), strict=True)
        known = sorted(row for row in rows if not math.isnan(row[0]))
        low = [f"{name} {value:.1%} of {photos}" for value, photos, name in known if value < 1]
        sentence = f"mean recall {self.mean:.1%}"
        if low:
            more = f", and {len(low) - _MAX_NAMED} more" if len(low) > _MAX_NAMED else ""
            sentence += f"; lowest first: {', '.join(low[:_MAX_NAMED])}{more}"
        if unsure := [name for _, photos, name in known if photos < _TOO_FEW]:
            sentence += f"; fewer than {_TOO_FEW} photos say little about {few(unsure)}"
        return sentence


def measure_recall(rank: Ints, truth: Ints, classes: int) -> Recall:
    """Return the recall of each class.

    Args:
        rank: (N,) how many classes rank before the true one, as in `Scored.rank`.
        truth: (N,) the true classes.
        classes: the number of classes.
    """
    photos = np.bincount(truth, minlength=classes)
    right: npt.NDArray[np.int64] = np.bincount(truth[rank == 0], minlength=classes)
    values = np.where(photos, right / np.maximum(photos, 1), math.nan)
    return Recall(tuple(values.tolist()), tuple(photos.tolist()))


def unique_names(classes: Sequence[str]) -> list[str]:
    """Return the names; a name of several classes gets the number of the class, as in `crane (1)`.

    ImageNet, for example, has two classes "crane".
    """
    times: Mapping[str, int] = Counter(classes)
    return [f"{name} ({i})" if times[name] > 1 else name for i, name in enumerate(classes)]
