"""Percentiles, and which results count in which statistic."""

import pytest
from load_data import result

from app.bench.measure.stats import Latency, Window, percentile, summarize


@pytest.mark.parametrize(
    ("count", "p", "expected"),
    [(1, 50, 1), (2, 50, 1), (3, 50, 2), (100, 99, 99), (101, 99, 100), (1000, 99.9, 999)],
)
def test_a_percentile_is_one_of_the_samples(count: int, p: float, expected: int) -> None:
    assert percentile(range(1, count + 1), p) == expected


def test_latencies_in_milliseconds() -> None:
    assert Latency.of(i / 1000 for i in range(1000, 0, -1)) == Latency(500, 900, 990, 999, 1000)
    assert Latency.of([]) is None


def test_only_the_window_counts_but_a_wrong_answer_always_does() -> None:
    window = Window(10, 20)
    summary = summarize(
        [
            result(5, reason="wrong"),
            # The tool sends this request during the warm-up, and its answer comes in the window.
            result(9.95),
            result(12),
            # This answer is right, but it is too late to count as goodput.
            result(13, took=1.5),
            result(14, reason="wrong"),
            result(15, status=429, reason="overloaded", took=0.002),
            result(16, status=503, reason="worker_lost"),
            result(17, status=0, reason="ConnectionResetError"),
            # This answer comes after the window.
            result(19.95),
            result(20.5),
        ],
        window,
    )
    assert summary.requests == 7
    assert (summary.answers_per_s, summary.right_per_s, summary.goodput_per_s) == (0.4, 0.3, 0.2)
    assert summary.wrong == 2
    assert summary.errors_by_status == {"429": 1, "503": 1}
    assert summary.errors_by_code == {"overloaded": 1, "worker_lost": 1}
    assert summary.transport_errors == {"ConnectionResetError": 1}
    assert summary.errors == 5
    assert summary.latency_ms == Latency(100, 1500, 1500, 1500, 1500)
    assert summary.refusal_ms == Latency(2, 2, 2, 2, 2)
    assert summary.failure_ms == Latency(100, 100, 100, 100, 100)


def test_nothing_at_all_has_figures_too() -> None:
    summary = summarize([], Window(1, 1))
    assert (summary.requests, summary.answers_per_s, summary.latency_ms) == (0, 0, None)
