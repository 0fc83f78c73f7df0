"""The check of answers: a later answer must agree with the reference answer of its photo.

A photo's reference answer is its first one. The tool gets it while no other request is in flight.
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from app.bench.load.client import Connections, Response
from app.bench.load.photos import PhotoFile
from app.errors import StartupError

_TIMEOUT_S = 30.0
# A score may differ by this much. Batches of different sizes change a score by far less.
_SCORE_TOLERANCE = 0.01


class Top(NamedTuple):
    """The class with the highest score in an answer."""

    class_id: int
    score: float


class Verdict(NamedTuple):
    """Whether an answer is right. If it is not, `reason` is a problem's code or `wrong`."""

    right: bool
    reason: str = ""


@dataclass(frozen=True)
class Case:
    """A photo, the request that uploads it, and the answer that is expected."""

    photo: PhotoFile
    request: bytes
    expected: Top


def top(body: bytes) -> Top:
    """Return the class with the highest score in the body of a 200.

    Raises:
        ValueError: the body does not have the form of our `/predict`.
    """
    try:
        answer = json.loads(body)
        # A server whose handler takes whole batches answers with a list of one.
        if isinstance(answer, list):
            answer = answer[0]
        first = answer["predictions"][0]
        return Top(int(first["class_id"]), float(first["score"]))
    except (LookupError, TypeError) as error:
        raise ValueError("no predictions in the answer") from error


def judge(response: Response, expected: Top) -> Verdict:
    """Return whether an answer agrees with the expected one, and if not, why."""
    if response.status != 200:
        return Verdict(False, _code(response.body))
    try:
        got = top(response.body)
    except ValueError:
        return Verdict(False, "wrong")
    if got.class_id == expected.class_id and abs(got.score - expected.score) <= _SCORE_TOLERANCE:
        return Verdict(True)
    return Verdict(False, "wrong")


async def ask_reference(
    connections: Connections, photos: Sequence[PhotoFile], headers: str
) -> list[Case]:
    """Send each photo once, one after the other, and return the cases with their answers.

    Args:
        connections: the connections to the server.
        photos: the photos to send.
        headers: header lines for every request, each with CRLF at its end.

    Raises:
        StartupError: a photo gets no reference answer; the message names the photo.
    """
    return [await _case(connections, photo, headers) for photo in photos]


def accuracy(cases: Sequence[Case]) -> float | None:
    """Return the share of labelled photos whose reference answer is right; None without labels."""
    hits = [
        case.expected.class_id == case.photo.class_index
        for case in cases
        if case.photo.class_index is not None
    ]
    return sum(hits) / len(hits) if hits else None


async def _case(connections: Connections, photo: PhotoFile, headers: str) -> Case:
    request = connections.target.post_photo(photo.data, headers)
    missing = f"{photo.name} got no reference answer from the server"
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            response = await connections.exchange(request)
        if response.status != 200:
            raise StartupError(f"{missing}: {response.status} {_code(response.body)}")
        return Case(photo, request, top(response.body))
    except (OSError, ValueError) as error:
        raise StartupError(f"{missing}: {str(error) or type(error).__name__}") from error


def _code(body: bytes) -> str:
    try:
        return str(json.loads(body)["code"])
    except (ValueError, LookupError, TypeError):
        return "no code"
