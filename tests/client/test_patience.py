"""When the client of clients/python asks again: on a scripted transport in place of a network."""

import asyncio
import json
import time
from collections.abc import Callable

import httpx
import pytest
from photo_classifier import (
    Answer,
    AsyncClassifier,
    Busy,
    Classifier,
    ClassifierError,
    KeyRefused,
    PhotoRefused,
    Unreachable,
)
from photo_classifier.conversation import Outcome

from app.api.problems import problem_of
from app.errors import (
    DeadlineExceeded,
    InferenceFailed,
    InvalidRequest,
    Overloaded,
    ServiceError,
    Unauthorized,
)

RESULT = {
    "predictions": [{"class_id": 1, "label": "cat", "score": 0.5, "new": True}],
    "image": {"width": 1, "height": 1, "format": "PNG"},
    "timings_ms": {"total": 1.0},
}
MODEL = {"model": {"name": "a", "version": "b"}}

Step = httpx.Response | Exception


class Script:
    """Answers requests with the steps, one each, and notes when each came and what it said."""

    def __init__(self, *steps: Step) -> None:
        self._steps = list(steps)
        self.times: list[float] = []
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.times.append(time.monotonic())
        self.requests.append(request)
        step = self._steps.pop(0)
        if isinstance(step, Exception):
            raise step
        return step

    @property
    def deadlines_ms(self) -> list[int]:
        return [int(request.headers["X-Deadline-Ms"]) for request in self.requests]


def refusal(error: ServiceError, retry_after: str | None = None) -> httpx.Response:
    headers = {"Retry-After": retry_after} if retry_after else {}
    body = problem_of(error, "id").model_dump()
    return httpx.Response(error.status, json=body, headers=headers)


def cat() -> httpx.Response:
    return httpx.Response(200, json=MODEL | RESULT)


def several(*results: ServiceError | None) -> httpx.Response:
    bodies = [{"error": problem_of(one, "id").model_dump()} if one else RESULT for one in results]
    return httpx.Response(200, json=MODEL | {"results": bodies})


def sync(script: Script, timeout_s: float, photo: bytes | list[bytes]) -> Answer | list[Outcome]:
    with Classifier("http://test", timeout_s=timeout_s, transport=_mock(script)) as classifier:
        return classifier.predict(photo)


def awaited(script: Script, timeout_s: float, photo: bytes | list[bytes]) -> Answer | list[Outcome]:
    async def ask() -> Answer | list[Outcome]:
        client = AsyncClassifier("http://test", timeout_s=timeout_s, transport=_mock(script))
        async with client as classifier:
            return await classifier.predict(photo)

    return asyncio.run(ask())


def _mock(script: Script) -> httpx.MockTransport:
    return httpx.MockTransport(script)


Ask = Callable[[Script, float, bytes | list[bytes]], Answer | list[Outcome]]
both = pytest.mark.parametrize("ask", [sync, awaited])


@both
def test_it_waits_as_the_service_says(ask: Ask) -> None:
    script = Script(refusal(Overloaded(), "1"), cat())
    answer = ask(script, 60, b"photo")
    assert isinstance(answer, Answer)
    first, second = script.times
    assert second - first >= 1
    # The second request says how much less time is left.
    assert script.deadlines_ms[0] <= 60_000
    assert script.deadlines_ms[1] <= script.deadlines_ms[0] - 1000


@both
def test_it_does_not_wait_longer_than_it_may(ask: Ask) -> None:
    script = Script(refusal(Overloaded(), "30"))
    with pytest.raises(Busy) as busy:
        ask(script, 5, b"photo")
    assert (busy.value.code, busy.value.retry_after_s) == ("overloaded", 30)
    assert len(script.requests) == 1


@both
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (DeadlineExceeded(), Busy),
        (Unauthorized(), KeyRefused),
        (InferenceFailed(), ClassifierError),
    ],
)
def test_lasting_errors_are_told_at_once(
    ask: Ask, error: ServiceError, kind: type[ClassifierError]
) -> None:
    script = Script(refusal(error))
    with pytest.raises(kind) as told:
        ask(script, 5, b"photo")
    assert (told.value.code, str(told.value)) == (error.code, str(error))
    assert len(script.requests) == 1


@both
def test_a_wrong_wish_is_not_tried_with_every_photo(ask: Ask) -> None:
    wrong = InvalidRequest("query.top_k: too large")
    script = Script(*(refusal(wrong) for _ in range(6)))
    outcomes = ask(script, 5, [b"photo"] * 32)
    assert isinstance(outcomes, list)
    assert [one.code for one in outcomes if isinstance(one, PhotoRefused)] == [wrong.code] * 32
    assert len(script.requests) == 6


@both
def test_what_no_retry_can_mend_is_told_at_once(ask: Ask) -> None:
    script = Script(httpx.UnsupportedProtocol("the URL has no http://"), cat())
    with pytest.raises(Unreachable, match="http://"):
        ask(script, 5, b"photo")
    assert len(script.requests) == 1
    with pytest.raises(TypeError, match="not of type int"):
        ask(script, 5, 7)  # type: ignore[arg-type]


@both
def test_a_lost_connection_is_tried_again(ask: Ask) -> None:
    assert ask(Script(httpx.ConnectError("refused"), cat()), 5, b"photo")
    with pytest.raises(Unreachable):
        ask(Script(httpx.ReadTimeout("too late")), 5, b"photo")
    with pytest.raises(Unreachable, match="no photo classifier"):
        ask(Script(httpx.Response(200, text="<html>")), 5, b"photo")


@both
def test_photos_that_the_service_was_busy_for_are_sent_again(ask: Ask) -> None:
    script = Script(several(None, Overloaded(), None), several(None))
    outcomes = ask(script, 5, [b"one", b"two", b"three"])
    assert isinstance(outcomes, list)
    assert all(isinstance(outcome, Answer) for outcome in outcomes)
    again = script.requests[1].read()
    assert b"two" in again
    assert b"three" not in again


@both
def test_a_long_list_goes_in_parts(ask: Ask) -> None:
    script = Script(several(*[None] * 32), several(*[None] * 8))
    outcomes = ask(script, 5, [b"photo"] * 40)
    assert isinstance(outcomes, list)
    assert len(outcomes) == 40
    assert [request.read().count(b'name="files"') for request in script.requests] == [32, 8]


@both
def test_large_photos_go_in_parts_too(ask: Ask) -> None:
    script = Script(several(None, None), several(None))
    assert len(list(ask(script, 5, [b"x" * 10_000_000] * 3))) == 3  # type: ignore[arg-type]


@both
def test_a_busy_service_is_an_outcome_of_a_list(ask: Ask) -> None:
    outcomes = ask(Script(refusal(Overloaded(), "9")), 5, [b"one", b"two"])
    assert isinstance(outcomes, list)
    assert [type(outcome) for outcome in outcomes] == [Busy, Busy]


def test_all_calls_of_a_client_wait_together() -> None:
    script = Script(refusal(Overloaded(), "1"), cat(), cat())

    async def ask() -> None:
        client = AsyncClassifier("http://test", transport=httpx.MockTransport(script))
        async with client as classifier:
            first = asyncio.create_task(classifier.predict(b"photo"))
            await asyncio.sleep(0.3)
            await asyncio.gather(first, classifier.predict(b"photo"))

    asyncio.run(ask())
    refused, *later = script.times
    assert len(later) == 2
    assert min(later) - refused >= 1


def test_the_request_has_what_the_caller_asks_for() -> None:
    script = Script(cat())
    transport = httpx.MockTransport(script)
    with Classifier("http://test/prefix/", "a-key", transport=transport) as classifier:
        classifier.predict(b"photo", top_k=3, min_score=0.2)
    (request,) = script.requests
    assert request.url.path == "/prefix/predict"
    assert dict(request.url.params) == {"top_k": "3", "min_score": "0.2"}
    assert request.headers["Authorization"] == "Bearer a-key"
    assert json.dumps(script.deadlines_ms)
