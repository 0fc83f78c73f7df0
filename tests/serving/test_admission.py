"""Admission: which photos get a permit, and that each permit and each byte is given back."""

from contextlib import ExitStack

import pytest

from app.errors import DeadlineUnreachable, NotReady, Overloaded
from app.serving.admission import Admission
from app.settings import Settings
from app.telemetry.metrics import Metrics


def new_admission(
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
    admission = new_admission()
    with admission.admit(), admission.admit(), admission.admit():
        with pytest.raises(ZeroDivisionError), admission.admit():
            _ = 1 / 0
        with admission.admit(), pytest.raises(Overloaded), admission.admit():
            pass
    assert admission.in_flight == 0


@pytest.mark.parametrize(
    ("photos_a_second", "permits"), [(0, 4), (0.1, 2), (5, 2), (6, 3), (8, 4), (1000, 4)]
)
def test_a_slow_machine_takes_no_more_than_it_answers_in_time(
    photos_a_second: float, permits: int
) -> None:
    admission = new_admission(photos_a_second, longest_wait_s=0.5)
    assert admission.capacity == permits
    with ExitStack() as inside:
        for _ in range(permits):
            inside.enter_context(admission.admit())
        with pytest.raises(Overloaded):
            admission.check()


def test_the_wait_is_predicted_from_the_drain_rate() -> None:
    admission = new_admission(photos_a_second=2)
    with ExitStack() as inside:
        for _ in range(3):
            inside.enter_context(admission.admit())
        with pytest.raises(DeadlineUnreachable), admission.admit(1.4):
            pass
        with admission.admit(1.6), pytest.raises(Overloaded) as refused, admission.admit():
            pass
        assert refused.value.retry_after_s == 2


def test_before_any_batch_nobody_is_refused_for_time() -> None:
    admission = new_admission()
    with admission.admit(), admission.admit(0.001):
        pass


def test_where_no_worker_starts_nobody_comes_in() -> None:
    with pytest.raises(NotReady), new_admission(failing=True).admit():
        pass


def test_bytes_count_as_they_come_and_until_the_answer() -> None:
    admission = new_admission()
    with admission.hold() as first, admission.hold() as second:
        first(60_000)
        second(40_000)
        assert admission.bytes_held == 100_000
        with pytest.raises(Overloaded):
            admission.check(size=1)
        with pytest.raises(Overloaded):
            second(1)
    assert admission.bytes_held == 0
    admission.check(size=100_000)
