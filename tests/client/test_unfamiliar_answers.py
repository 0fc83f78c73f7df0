"""The client's answers say what is unfamiliar, if the service does."""

from typing import Any

import pytest
from photo_classifier import Answer

MODEL = {"name": "small", "version": "0"}
BODY: dict[str, Any] = {
    "predictions": [{"class_id": 1, "label": "dog", "score": 0.6}],
    "image": {"width": 2, "height": 3, "format": "PNG"},
    "timings_ms": {"total": 1.0},
}


@pytest.mark.parametrize("unfamiliar", [True, False])
def test_an_answer_says_it(unfamiliar: bool) -> None:
    answer = Answer.of(BODY | {"unfamiliar": unfamiliar, "unfamiliarity": 0.75}, MODEL)
    assert (answer.unfamiliar, answer.unfamiliarity) == (unfamiliar, 0.75)


def test_an_answer_of_a_model_that_cannot_tell() -> None:
    answer = Answer.of(BODY, MODEL)
    assert (answer.unfamiliar, answer.unfamiliarity) == (None, None)
