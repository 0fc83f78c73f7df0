"""The pace of a long task: how far it is, how fast it goes, and how long it still takes."""

import time
from collections.abc import Callable

# A log that somebody reads later needs no more lines than this.
_SECONDS_BETWEEN_LINES = 10.0

Clock = Callable[[], float]


class Pace:
    """Says how far a stage is: at most one line every ten seconds, and one at its end.

    Args:
        name: of the stage.
        total: how many things there are to do.
        say: is called with each line.
        done: how many of them were done before.
        unit: what the things are called.
        scale: how many things one unit is: with bytes and "MB" it is a million.
        clock: returns the time in seconds.
    """

    def __init__(  # noqa: PLR0913  (most arguments have a default)
        self,
        name: str,
        total: int,
        say: Callable[[str], object],
        *,
        done: int = 0,
        unit: str = "photos",
        scale: int = 1,
        clock: Clock = time.monotonic,
    ) -> None:
        self._name, self._total, self._unit, self._say = name, total, unit, say
        self._scale, self._clock = scale, clock
        self._before = self._done = done
        self._started = self._said = clock()

    def advance(self, count: int = 1, name: str | None = None) -> None:
        """Count `count` more things as done, and change the stage's name if one is given."""
        self._name = name or self._name
        self._done += count
        now = self._clock()
        if now - self._said >= _SECONDS_BETWEEN_LINES and self._done < self._total:
            self._said = now
            seconds = now - self._started
            left = seconds / max(self._done - self._before, 1) * (self._total - self._done)
            self._say(
                f"{self._name}: {self._amount(self._done)} of {self._amount(self._total)} "
                f"{self._unit}, "
                f"{self._rate(seconds)}, {duration(left)} left"
            )

    def end(self) -> None:
        """Say how much the stage has done, and in which time."""
        seconds = self._clock() - self._started
        self._say(
            f"{self._name}: {self._amount(self._done - self._before)} {self._unit} "
            f"in {duration(seconds)}, "
            f"{self._rate(seconds)}"
        )

    def _amount(self, count: int) -> str:
        return f"{count / self._scale:.0f}"

    def _rate(self, seconds: float) -> str:
        rate = (self._done - self._before) / self._scale / max(seconds, 1e-3)
        return f"{rate:.0f} {self._unit}/s" if rate >= 10 else f"{rate:.2g} {self._unit}/s"


def duration(seconds: float) -> str:
    """Return a time as people say it: `0.4 s`, `12 s`, `2 min 14 s` or `1 h 5 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if minutes else f"{rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
