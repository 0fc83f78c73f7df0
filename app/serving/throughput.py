"""How quickly photos are finished, learned from those that were: what a wait is predicted from."""

from collections.abc import Callable

_SMOOTHING = 0.1  # the weight of what was seen last


class Throughput:
    """Of some that work side by side, workers or decoders; `count` says how many there are now."""

    def __init__(self, count: Callable[[], int]) -> None:
        self._count = count
        self._photo_s: float | None = None  # of one of them, smoothed; None before any

    def learn(self, photo_s: float) -> None:
        """Count in that one of them has just taken `photo_s` for a photo."""
        before = photo_s if self._photo_s is None else self._photo_s
        self._photo_s = before + _SMOOTHING * (photo_s - before)

    @property
    def per_s(self) -> float:
        """Photos a second that all of them finish; 0 while that is unknown."""
        return self._count() / self._photo_s if self._photo_s else 0.0
