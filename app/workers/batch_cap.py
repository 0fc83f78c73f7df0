"""The largest batch: first what the start has measured, then what batches really take."""

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from app.workers.batch_size import best_batch_size, extrapolated

log = logging.getLogger(__name__)

# What is older is forgotten, so that a change of the machine counts fully within a minute.
_WINDOW_S = 45.0
# After a round, no batch size is tried for this time.
_PAUSE_S = 5.0
# A round ends without the sizes that could not be tried for this time: the service is too busy for
# a trial without photos, and too few photos wait for a large batch.
_PATIENCE_S = 10.0


class BatchCap:
    """The largest batch that is worthwhile on this machine now.

    Batch sizes are compared in rounds: one batch of each size, shortly after one another. Other
    batches cannot be compared, because most small ones run while the machine is quiet, and most
    large ones while it is busy. Of each size, the lower quartile of the last rounds counts.

    Attributes:
        size: the largest number of photos in a batch.
        seconds: {batch size: seconds} as in the last rounds; empty if the cap is fixed.
    """

    def __init__(
        self,
        size: int,
        candidates: Sequence[int] = (),
        budget_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make a cap that stays at `size`; only `start` lets it learn.

        Args:
            size: the cap until then.
            candidates: the sizes to choose from, ascending.
            budget_s: a batch that takes longer than this is not chosen.
            clock: the present time in seconds.
        """
        self.size = size
        self.seconds: Mapping[int, float] = {}
        self._candidates = candidates
        self._budget_s = budget_s
        self._clock = clock
        # The choice of the last round.
        self._best = size
        self._due: float | None = None
        self._begun = 0.0
        self._round: dict[int, float] = {}
        self._rounds: deque[tuple[float, Mapping[int, float]]] = deque()

    def start(self, batch_seconds: Mapping[int, float]) -> None:
        """Choose the cap by {batch size: seconds} as the first guess, and learn from now on."""
        self._rounds.clear()
        self._adopt(batch_seconds)
        self.size = self._best = best_batch_size(self._within_budget())

    def wanted(self) -> int | None:
        """Return the size of which a batch should run next, or None if any size will do."""
        if self._due is None or self._clock() < self._due:
            return None
        return next(size for size in self._candidates if size not in self._round)

    def learn(self, size: int, seconds: float) -> None:
        """Note that a batch of this size took `seconds`; it counts only if the size was wanted."""
        wanted = self.wanted()
        if wanted is None:
            return
        if size == wanted:
            if not self._round:
                self._begun = self._clock()
            self._round[size] = seconds
        if self._complete() or (self._round and self._clock() > self._begun + _PATIENCE_S):
            self.end_round()

    def end_round(self) -> None:
        """Choose the cap by the last rounds. The sizes that this round lacks do not count in it."""
        self._adopt(self._round)
        self._round = {}
        before, self._best = self._best, best_batch_size(self._within_budget(), self.size)
        # One round alone may have met a bad moment, so a change needs two rounds that agree.
        if self._best == before != self.size:
            times = ", ".join(f"{n}: {s * 1000:.1f}" for n, s in self.seconds.items())
            log.info("batches up to %d instead of %d (ms by size: %s)", before, self.size, times)
            self.size = before

    def _complete(self) -> bool:
        untried = [size for size in self._candidates if size not in self._round]
        return not untried or (
            bool(self._round) and extrapolated(self._round, untried[0]) > self._budget_s
        )

    def _adopt(self, batch_seconds: Mapping[int, float]) -> None:
        now = self._clock()
        self._due = now + _PAUSE_S
        if batch_seconds:
            self._rounds.append((now, batch_seconds))
        while len(self._rounds) > 1 and self._rounds[0][0] < now - _WINDOW_S:
            self._rounds.popleft()
        tried = {size: self._tried(size) for size in self._candidates}
        self.seconds = {size: _lower_quartile(times) for size, times in tried.items() if times}

    def _tried(self, size: int) -> Sequence[float]:
        return [seconds[size] for _, seconds in self._rounds if size in seconds]

    def _within_budget(self) -> Mapping[int, float]:
        smallest = self._candidates[0]
        return {
            size: seconds
            for size, seconds in self.seconds.items()
            if size == smallest or seconds <= self._budget_s
        }


def _lower_quartile(times: Sequence[float]) -> float:
    # A disturbance only makes a batch slower, so the shorter times tell more.
    return sorted(times)[(len(times) - 1) // 4]
