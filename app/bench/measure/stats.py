"""The statistics of a run: rates, errors, and latencies by percentile."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from app.bench.load.generator import Result

# A right answer counts as goodput if it comes within this time after the intended send time.
GOODPUT_S = 1.0
WRONG = "wrong"


@dataclass(frozen=True)
class Window:
    """The measured time after the warm-up, as readings of `time.perf_counter` in seconds."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """The length of the measured time."""
        return self.end - self.start

    def __contains__(self, moment: float) -> bool:
        return self.start <= moment < self.end


@dataclass(frozen=True)
class Latency:
    """Percentiles in milliseconds. Each is exactly one of the measured values."""

    p50: float
    p90: float
    p99: float
    p99_9: float
    max: float

    @classmethod
    def of(cls, seconds: Iterable[float]) -> Self | None:
        """Return the percentiles of times in seconds; None if there are no times."""
        ordered = sorted(seconds)
        if not ordered:
            return None
        marks = (percentile(ordered, p) for p in (50, 90, 99, 99.9, 100))
        return cls(*(round(mark * 1000, 3) for mark in marks))


@dataclass(frozen=True)
class Summary:
    """The statistics of one run.

    Attributes:
        seconds: the length of the measured time.
        requests: the requests whose intended send time lies in the measured time. All errors and
            latencies are those of these requests.
        answers_per_s: the 200s that came in the measured time, right or wrong.
        right_per_s: the right answers among them.
        goodput_per_s: the right answers that came within a second of the intended send time.
        wrong: the wrong answers to all requests, those of the warm-up included.
        errors_by_status, errors_by_code: answers other than 200, counted in two ways.
        transport_errors: requests without an answer, by the name of the error.
        latency_ms: latency of the 200s.
        refusal_ms: latency of the 429s.
        failure_ms: latency of all other requests.
        send_lag_ms: how much later than intended the tool sent the requests.
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
        """The number of requests that got an error, no answer or a wrong answer."""
        failed = sum(self.errors_by_status.values()) + sum(self.transport_errors.values())
        return self.wrong + failed


def percentile(ordered: Sequence[float], p: float) -> float:
    """Return the smallest of the sorted values that at least p percent of them do not exceed."""
    # In floating point, 99.9 * 1000 / 100 is slightly greater than 999.
    rank = math.ceil(len(ordered) * p / 100 - 1e-9)
    return ordered[max(rank, 1) - 1]


def summarize(results: Sequence[Result], window: Window) -> Summary:
    """Return the statistics of the requests and the answers of the measured time."""
    sent = [result for result in results if result.intended in window]
    answers = [r for r in results if r.status == 200 and r.finished in window]
    right = [r for r in answers if not r.reason]
    good = [r for r in right if r.latency_s <= GOODPUT_S]
    failed = [r for r in sent if r.status not in (200, 429)]
    errors = [r for r in sent if r.status not in (0, 200)]
    return Summary(
        seconds=round(window.seconds, 3),
        requests=len(sent),
        answers_per_s=_rate(answers, window),
        right_per_s=_rate(right, window),
        goodput_per_s=_rate(good, window),
        wrong=sum(result.reason == WRONG for result in results),
        errors_by_status=_count(str(result.status) for result in errors),
        errors_by_code=_count(result.reason for result in errors),
        transport_errors=_count(result.reason for result in sent if result.status == 0),
        latency_ms=_latency(r for r in sent if r.status == 200),
        refusal_ms=_latency(r for r in sent if r.status == 429),
        failure_ms=_latency(failed),
        send_lag_ms=Latency.of(result.sent - result.intended for result in sent),
    )


def ended(results: Iterable[Result], window: Window) -> int:
    """Return how many requests ended in the window, with or without an answer."""
    return sum(result.finished in window for result in results)


def _rate(results: Sequence[Result], window: Window) -> float:
    return round(len(results) / window.seconds, 2) if window.seconds > 0 else 0.0


def _count(keys: Iterable[str]) -> dict[str, int]:
    return dict(Counter(keys).most_common())


def _latency(results: Iterable[Result]) -> Latency | None:
    return Latency.of(result.latency_s for result in results)
