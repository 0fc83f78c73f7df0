"""From samples to figures."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from app.bench.load.generator import Result

GOODPUT_S = 1.0  # a right answer within this time of the intended send time is good
WRONG = "wrong"


@dataclass(frozen=True)
class Window:
    """The measured time, after the warm-up, on `time.perf_counter`."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end - self.start

    def __contains__(self, moment: float) -> bool:
        return self.start <= moment < self.end


@dataclass(frozen=True)
class Latency:
    """Milliseconds, exact: each is one of the samples."""

    p50: float
    p90: float
    p99: float
    p99_9: float
    max: float

    @classmethod
    def of(cls, seconds: Iterable[float]) -> Self | None:
        """Return the percentiles, None of nothing."""
        ordered = sorted(seconds)
        if not ordered:
            return None
        marks = (percentile(ordered, p) for p in (50, 90, 99, 99.9, 100))
        return cls(*(round(mark * 1000, 3) for mark in marks))


@dataclass(frozen=True)
class Summary:
    """One run's figures.

    Attributes:
        requests: that should have been sent in the measured time; errors and latencies are theirs.
        answers_per_s: 200s that came in the measured time, right or wrong.
        right_per_s: those that were right.
        goodput_per_s: those that came within a second of the intended send time.
        wrong: of all requests, the warm-up's too.
        errors_by_status, errors_by_code: answers other than 200, counted in two ways.
        transport_errors: requests without an answer.
        latency_ms: of 200s. refusal_ms: of 429s. failure_ms: of all else.
        send_lag_ms: how late the tool itself was.
    """

    seconds: float
    requests: int
    answers_per_s: float
    right_per_s: float
    goodput_per_s: float
    wrong: int
    errors_by_status: dict[str, int]
    errors_by_code: dict[str, int]
    transport_errors: dict[str, int]
    latency_ms: Latency | None
    refusal_ms: Latency | None
    failure_ms: Latency | None
    send_lag_ms: Latency | None

    @property
    def errors(self) -> int:
        """How many requests got no answer or a wrong one."""
        failed = sum(self.errors_by_status.values()) + sum(self.transport_errors.values())
        return self.wrong + failed


def percentile(ordered: Sequence[float], p: float) -> float:
    """Return the smallest of the sorted values that at least p percent do not exceed."""
    rank = math.ceil(len(ordered) * p / 100 - 1e-9)  # 99.9 * 1000 / 100 is a hair above 999
    return ordered[max(rank, 1) - 1]


def summarize(samples: Sequence[Result], window: Window) -> Summary:
    """Return the figures of what was sent, and of what came, in the window."""
    sent = [sample for sample in samples if sample.intended in window]
    answers = [s for s in samples if s.status == 200 and s.finished in window]
    right = [s for s in answers if not s.reason]
    good = [s for s in right if s.latency_s <= GOODPUT_S]
    failed = [s for s in sent if s.status not in (200, 429)]
    errors = [s for s in sent if s.status not in (0, 200)]
    return Summary(
        seconds=round(window.seconds, 3),
        requests=len(sent),
        answers_per_s=_rate(answers, window),
        right_per_s=_rate(right, window),
        goodput_per_s=_rate(good, window),
        wrong=sum(sample.reason == WRONG for sample in samples),
        errors_by_status=_count(str(sample.status) for sample in errors),
        errors_by_code=_count(sample.reason for sample in errors),
        transport_errors=_count(sample.reason for sample in sent if sample.status == 0),
        latency_ms=_latency(s for s in sent if s.status == 200),
        refusal_ms=_latency(s for s in sent if s.status == 429),
        failure_ms=_latency(failed),
        send_lag_ms=Latency.of(sample.sent - sample.intended for sample in sent),
    )


def ended(samples: Iterable[Result], window: Window) -> int:
    """Return how many requests came to an end in the window, whichever."""
    return sum(sample.finished in window for sample in samples)


def _rate(samples: Sequence[Result], window: Window) -> float:
    return round(len(samples) / window.seconds, 2) if window.seconds > 0 else 0.0


def _count(keys: Iterable[str]) -> dict[str, int]:
    return dict(Counter(keys).most_common())


def _latency(samples: Iterable[Result]) -> Latency | None:
    return Latency.of(sample.latency_s for sample in samples)
