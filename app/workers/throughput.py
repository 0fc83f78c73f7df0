"""The throughput, estimated from finished photos. Admission predicts waiting times from it."""

from collections.abc import Callable

# The weight of the newest photo in the smoothed time per photo.
_SMOOTHING = 0.1


class Throughput:
    """Photos per second that several workers or decoders finish together.

    The rate is computed from a smoothed time per photo. `count` returns how many workers or
    decoders there are now.
    """

    def __init__(self, count: Callable[[], int]) -> None:
        self._count = count
        # The smoothed seconds per photo of one worker or decoder; None before the first photo.
        self._photo_s: float | None = None

    def learn(self, photo_s: float) -> None:
        """Update the smoothed time: one worker or decoder has taken `photo_s` for a photo."""
        before = photo_s if self._photo_s is None else self._photo_s
        self._photo_s = before + _SMOOTHING * (photo_s - before)

    @property
    def per_s(self) -> float:
        """Photos per second of all workers or decoders together; 0 while that is unknown."""
        return self._count() / self._photo_s if self._photo_s else 0.0
