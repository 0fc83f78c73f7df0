"""The door: who is let in, and that nobody who has left is counted."""

from contextlib import ExitStack

import pytest

from app.errors import DeadlineUnreachable, NotReady, Overloaded
from app.serving.admission import Admission
from app.settings import Settings
from app.telemetry.metrics import Metrics


def door(
    photos_a_second: float = 0, failing: bool = False, longest_wait_s: float = 60
) -> Admission:
    settings = Settings(
        capacity=4,
        capacity_bytes=100_000,
        max_upload_bytes=1000,
        longest_wait_s=longest_wait_s,
    )
    return Admission(lambda: failing, lambda: photos_a_second, settings, Metrics())


def test_it_takes_as_many_as_there_are_places() -> None:
    entry = door()
    with entry.admit(), entry.admit(), entry.admit():
        with pytest.raises(ZeroDivisionError), entry.admit():
            _ = 1 / 0
        with entry.admit(), pytest.raises(Overloaded), entry.admit():
            pass
    assert entry.in_flight == 0


@pytest.mark.parametrize(
    ("photos_a_second", "places"), [(0, 4), (0.1, 2), (5, 2), (6, 3), (8, 4), (1000, 4)]
)
def test_a_slow_machine_takes_no_more_than_it_answers_in_time(
    photos_a_second: float, places: int
) -> None:
    entry = door(photos_a_second, longest_wait_s=0.5)
    assert entry.capacity == places
    with ExitStack() as inside:
        for _ in range(places):
            inside.enter_context(entry.admit())
        with pytest.raises(Overloaded):
            entry.check()


def test_the_wait_is_predicted_from_the_drain_rate() -> None:
    entry = door(photos_a_second=2)
    with ExitStack() as inside:
        for _ in range(3):
            inside.enter_context(entry.admit())
        with pytest.raises(DeadlineUnreachable), entry.admit(1.4):
            pass
        with entry.admit(1.6), pytest.raises(Overloaded) as refused, entry.admit():
            pass
        assert refused.value.retry_after_s == 2


def test_before_any_batch_nobody_is_refused_for_time() -> None:
    entry = door()
    with entry.admit(), entry.admit(0.001):
        pass


def test_where_no_worker_starts_nobody_comes_in() -> None:
    with pytest.raises(NotReady), door(failing=True).admit():
        pass


def test_bytes_count_as_they_come_and_until_the_answer() -> None:
    entry = door()
    with entry.hold() as first, entry.hold() as second:
        first(60_000)
        second(40_000)
        assert entry.bytes_held == 100_000
        with pytest.raises(Overloaded):
            entry.check(size=1)
        with pytest.raises(Overloaded):
            second(1)
    assert entry.bytes_held == 0
    entry.check(size=100_000)
