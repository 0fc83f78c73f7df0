"""A long task says how far it is, and how long it still takes."""

import pytest

from app.pace import Pace, duration


class Watch:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def test_a_line_every_ten_seconds_and_one_at_the_end() -> None:
    lines: list[str] = []
    watch = Watch()
    pace = Pace("reading photos", 100, lines.append, clock=watch)
    for _ in range(100):
        watch.seconds += 0.5
        pace.advance()
    pace.end()
    assert lines == [
        "reading photos: 20 of 100 photos, 2 photos/s, 40 s left",
        "reading photos: 40 of 100 photos, 2 photos/s, 30 s left",
        "reading photos: 60 of 100 photos, 2 photos/s, 20 s left",
        "reading photos: 80 of 100 photos, 2 photos/s, 10 s left",
        "reading photos: 100 photos in 50 s, 2 photos/s",
    ]


def test_what_was_done_before_does_not_count_as_quick() -> None:
    lines: list[str] = []
    watch = Watch()
    pace = Pace("fine-tuning", 1000, lines.append, done=500, clock=watch)
    watch.seconds += 10
    pace.advance(100, "fine-tuning 6/10")
    assert lines == ["fine-tuning 6/10: 600 of 1000 photos, 10 photos/s, 40 s left"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59, "59 s"), (59.6, "1 min 0 s"),
     (61, "1 min 1 s"), (134, "2 min 14 s"), (3660, "1 h 1 min"), (7500, "2 h 5 min")],
)  # fmt: skip
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
