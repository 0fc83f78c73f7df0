"""What the command says while it works, and at the end."""

import io
from collections.abc import Callable, Sequence

import pytest
from rich.console import Console

from app.bulk.progress import Count, Display
from app.bulk.records import Record, answered, failed


def records(whole: int, broken: int = 0) -> Sequence[Record]:
    good = [answered(f"{i}.jpg", (), None) for i in range(whole)]
    return [*good, *(failed(f"b{i}.jpg", "broken_image", "It is cut") for i in range(broken))]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_line_has_count_rate_and_time_left(clock: Clock) -> None:
    count = Count(2000, 500, clock)
    assert count.line() == "500 of 2,000 photos"
    clock.now = 10
    count.add(records(499, 1))
    assert count.line() == "1,000 of 2,000 photos, 50 photos/s, 20 s left, 1 error"
    clock.now = 20
    count.add(records(0, 2))
    assert count.line() == "1,002 of 2,000 photos, 25 photos/s, 40 s left, 3 errors"


def test_the_rate_is_that_of_the_last_minute(clock: Clock) -> None:
    count = Count(100_000, 0, clock)
    for second in range(1, 200):
        clock.now = second
        count.add(records(10 if second < 100 else 1))
    assert "1 photos/s" in count.line()


def test_the_last_line_has_all_counts(clock: Clock) -> None:
    count = Count(1000, 100, clock)
    clock.now = 8
    count.add(records(790, 10))
    assert count.summary() == (
        "1,000 photos: 790 classified, 10 errors, 100 were there already, 100 left; "
        "it took 8.0 s (100 photos/s)"
    )


@pytest.fixture
def shown(clock: Clock) -> Callable[[bool], str]:
    """A function that shows a run of a minute, and returns what was printed."""

    def shown(terminal: bool) -> str:
        text = io.StringIO()
        count = Count(600, 0, clock)
        console = Console(file=text, force_terminal=terminal, width=120)
        with Display(count, console, clock) as display:
            for second in range(1, 61):
                clock.now = second
                count.add(records(10))
                display.update()
        return text.getvalue()

    return shown


def test_a_log_gets_a_line_every_ten_seconds(shown: Callable[[bool], str]) -> None:
    lines = shown(False).splitlines()
    assert len(lines) == 5
    assert lines[0] == "110 of 600 photos, 10 photos/s, 49 s left"


def test_a_terminal_shows_a_bar(shown: Callable[[bool], str]) -> None:
    text = shown(True)
    assert "━" in text
    assert "600 of 600 photos, 10 photos/s, 0.0 s left" in text
