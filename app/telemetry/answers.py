"""Counts answers by class, with a bounded number of series."""

from collections import Counter
from collections.abc import Callable

from prometheus_client import Counter as Series

# More classes than this never get series of their own.
_MOST_CLASSES = 50
# A class gets its own series once it has this share of the answers, and so many of them.
_SHARE = 0.01
_FEWEST = 10


class AnswersByClass:
    """Counts the best classes of one model's answers.

    The commonest classes have series of their own, and all others share the series "others". If
    the model has few classes, each has its own from the start. A class keeps its own series for
    ever, because a counter must never fall.
    """

    def __init__(self, series: Series, classes: int, label: Callable[[int], str]) -> None:
        self._series = series
        self._label = label
        self._answers = 0
        self._hidden: Counter[int] = Counter()
        self._others = series.labels("others")
        few = classes if classes <= _MOST_CLASSES else 0
        self._own = {class_id: self._named(class_id) for class_id in range(few)}

    def count(self, class_id: int) -> None:
        """Count an answer whose best class is this one."""
        self._answers += 1
        (self._own.get(class_id) or self._noted(class_id)).inc()

    def _noted(self, class_id: int) -> Series:
        """Return the series of a class that had none of its own so far."""
        self._hidden[class_id] += 1
        needed = max(_FEWEST, _SHARE * self._answers)
        if len(self._own) >= _MOST_CLASSES or self._hidden[class_id] < needed:
            return self._others
        self._own[class_id] = self._named(class_id)
        return self._own[class_id]

    def _named(self, class_id: int) -> Series:
        # A label of ImageNet lists several names, and two of its classes share their first name.
        name = self._label(class_id).partition(",")[0]
        return self._series.labels(f"{class_id} {name}")
