"""Fixtures that leave out of a training what the test does not look at."""

from collections.abc import Iterator

import pytest

from app.training.learning import regression


@pytest.fixture(scope="module")
def few_strengths() -> Iterator[None]:
    """The regressions choose between two strengths, which takes a third of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(regression, "_STRENGTHS", (0.1, 1.0))
        yield


@pytest.fixture
def no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runs have no page and no curves, which take half of the time of a small run."""
    monkeypatch.setattr("app.training.train.judge", lambda *_: None)
    monkeypatch.setattr("app.training.train.write_report", lambda *_: None)
