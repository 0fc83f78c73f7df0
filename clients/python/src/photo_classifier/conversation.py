"""What is said to the service, and when: without a network, so that sync and async share it.

A conversation is a generator. It yields seconds to wait or a request to send, and gets back the
response, or the error of the transport.
"""

import itertools
import random
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from photo_classifier.answers import Answer
from photo_classifier.errors import (
    Busy,
    ClassifierError,
    KeyRefused,
    PhotoRefused,
    Unreachable,
    error_of,
)
from photo_classifier.photos import Photo, file_of, no_photo

Outcome = Answer | ClassifierError
Result = TypeVar("Result")
Conversation = Generator[
    float | httpx.Request, httpx.Response | httpx.TransportError | None, Result
]

# The service's default limit of photos in one request, and fewer bytes than its limit of 30 MB,
# because a form adds some.
_MOST_PHOTOS = 32
_MOST_BYTES = 25_000_000
_LONGEST_DEADLINE_MS = 3_600_000
# The service may answer a little after the deadline that the client has given.
_GRACE_S = 2.0


@dataclass(frozen=True)
class Wishes:
    """What the caller asks for.

    Attributes:
        top_k: the number of classes; None lets the service choose.
        min_score: classes with a lower score are left out.
        timeout_s: the seconds that a photo, or a part of a list, may take with all retries.
    """

    top_k: int | None
    min_score: float
    timeout_s: float


class Speaker:
    """Talks to one service. All its conversations wait when the service says so to one of them."""

    def __init__(self, url: str, key: str | None) -> None:
        self._url = url.rstrip("/") + "/predict"
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._not_before = 0.0

    def one(self, photo: Photo, wishes: Wishes) -> Conversation[Answer]:
        """Ask about one photo.

        Raises:
            ClassifierError: there is no answer.
        """
        deadline = time.monotonic() + wishes.timeout_s
        body = yield from self._ask([("file", file_of(photo))], wishes, deadline)
        return Answer.of(body, body["model"])

    def several(self, photos: Sequence[Photo], wishes: Wishes) -> Conversation[list[Outcome]]:
        """Ask about several photos, one request after the other.

        Raises:
            KeyRefused, Unreachable: no photo can have an answer.
        """
        outcomes: list[Outcome] = []
        for files in _parts(photos):
            outcomes += yield from self._part(files, wishes)
        return outcomes

    def _part(self, files: Sequence[bytes], wishes: Wishes) -> Conversation[list[Outcome]]:
        """Ask about photos that may come in one request; ask again about those it was busy for."""
        deadline = time.monotonic() + wishes.timeout_s
        outcomes = yield from self._request(files, wishes, deadline)
        while busy := {i: s for i, one in enumerate(outcomes) if (s := _pause_s(one)) is not None}:
            pause_s = max(busy.values())
            if time.monotonic() + pause_s >= deadline:
                break
            yield pause_s
            again = yield from self._request([files[i] for i in busy], wishes, deadline)
            for i, outcome in zip(busy, again, strict=True):
                outcomes[i] = outcome
        return outcomes

    def _request(
        self, files: Sequence[bytes], wishes: Wishes, deadline: float
    ) -> Conversation[list[Outcome]]:
        try:
            body = yield from self._ask([("files", file) for file in files], wishes, deadline)
        except PhotoRefused as error:
            if len(files) == 1:
                return [error]
            # The whole request was refused: for one photo that is too large, or for its length.
            half = len(files) // 2
            first = yield from self._request(files[:half], wishes, deadline)
            if error.code == "invalid_request" and all(_code(one) == error.code for one in first):
                # It was refused neither for a photo nor for its length, but for a wish.
                return [*first, *[error] * (len(files) - half)]
            second = yield from self._request(files[half:], wishes, deadline)
            return first + second
        except (KeyRefused, Unreachable):
            raise
        except ClassifierError as error:
            return [error] * len(files)
        return [_outcome(result, body["model"]) for result in body["results"]]

    def _ask(
        self, form: Sequence[tuple[str, bytes]], wishes: Wishes, deadline: float
    ) -> Conversation[Mapping[str, Any]]:
        """Send a form until there is an answer, a lasting error, or no time left."""
        for attempt in itertools.count():
            while (pause_s := min(self._not_before, deadline) - time.monotonic()) > 0:
                yield pause_s
            left_s = max(0.001, deadline - time.monotonic())
            outcome = yield self._form(form, wishes, left_s)
            body, error = _read(outcome, attempt)
            if error is None:
                return body
            if error.retry_after_s is None:
                raise error
            # A little more, so that many clients do not come back at the same moment.
            again = time.monotonic() + error.retry_after_s * random.uniform(1.0, 1.2)  # noqa: S311
            if again >= deadline:
                raise error
            self._not_before = max(self._not_before, again)
        raise AssertionError("unreachable")

    def _form(
        self, form: Sequence[tuple[str, bytes]], wishes: Wishes, left_s: float
    ) -> httpx.Request:
        deadline_ms = min(_LONGEST_DEADLINE_MS, max(1, int(left_s * 1000)))
        params: dict[str, float] = {"min_score": wishes.min_score}
        if wishes.top_k is not None:
            params["top_k"] = wishes.top_k
        timeout = httpx.Timeout(left_s + _GRACE_S, connect=min(10.0, left_s))
        return httpx.Request(
            "POST",
            self._url,
            params=params,
            headers=self._headers | {"X-Deadline-Ms": str(deadline_ms)},
            files=[(name, ("photo", content)) for name, content in form],
            extensions={"timeout": timeout.as_dict()},
        )


def _parts(photos: Sequence[Photo]) -> Iterator[list[bytes]]:
    """Yield the files of the photos in parts that fit into one request. Files are read late.

    Raises:
        TypeError: this is neither a list nor a photo.
    """
    if not isinstance(photos, Iterable):
        raise no_photo(photos)
    part: list[bytes] = []
    for photo in photos:
        file = file_of(photo)
        if part and (len(part) == _MOST_PHOTOS or sum(map(len, part)) + len(file) > _MOST_BYTES):
            yield part
            part = []
        part.append(file)
    if part:
        yield part


def _read(
    outcome: httpx.Response | httpx.TransportError | None, attempt: int
) -> tuple[Mapping[str, Any], ClassifierError | None]:
    """Return the body of an answer, or the error."""
    if not isinstance(outcome, httpx.Response):
        # A connection that is refused or ends may be a restart, so the next try comes later.
        lasting = isinstance(outcome, httpx.TimeoutException | httpx.UnsupportedProtocol)
        pause_s = None if lasting else min(8.0, 0.5 * 2**attempt)
        return {}, Unreachable(f"no answer: {outcome}", retry_after_s=pause_s)
    try:
        body = outcome.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        return {}, Unreachable(f"{outcome.url} is no photo classifier", outcome.status_code)
    if outcome.is_success:
        return body, None
    retry_after = outcome.headers.get("Retry-After", "")
    seconds = float(retry_after) if retry_after.isdecimal() else None
    return {}, error_of(body, outcome.status_code, seconds)


def _outcome(result: Mapping[str, Any], model: Mapping[str, str]) -> Outcome:
    if error := result.get("error"):
        return error_of(error, int(error["status"]))
    return Answer.of(result, model)


def _code(outcome: Outcome) -> str:
    return outcome.code if isinstance(outcome, ClassifierError) else "ok"


def _pause_s(outcome: Outcome) -> float | None:
    """Return the seconds after which to ask again; None if this is the last word."""
    return outcome.retry_after_s if isinstance(outcome, Busy) else None
