"""Is an answer right? Each photo's first answer, got alone, is what all later ones must say."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from app.bench.load.client import Connections, Response
from app.bench.load.photos import PhotoFile
from app.errors import StartupError

_TIMEOUT_S = 30.0
_TOLERANCE = 0.01  # of a score; batches of other sizes differ by far less


class Top(NamedTuple):
    """The likeliest class of an answer."""

    class_id: int
    score: float


class Verdict(NamedTuple):
    """What is thought of an answer: `right` or why not, a problem's code or `wrong`."""

    right: bool
    reason: str = ""


@dataclass(frozen=True)
class Case:
    """A photo's request and the answer it must get."""

    photo: PhotoFile
    request: bytes
    expected: Top


def top(body: bytes) -> Top:
    """Return the likeliest class in a 200's body.

    Raises:
        ValueError: the body has another form than ours.
    """
    try:
        answer = json.loads(body)
        if isinstance(answer, list):  # of a server that takes whole batches, so of one
            answer = answer[0]
        first = answer["predictions"][0]
        return Top(int(first["class_id"]), float(first["score"]))
    except (LookupError, TypeError) as error:
        raise ValueError("no predictions in the answer") from error


def judge(response: Response, expected: Top) -> Verdict:
    """Compare an answer with the expected one."""
    if response.status != 200:
        return Verdict(False, _code(response.body))
    try:
        got = top(response.body)
    except ValueError:
        return Verdict(False, "wrong")
    if got.class_id == expected.class_id and abs(got.score - expected.score) <= _TOLERANCE:
        return Verdict(True)
    return Verdict(False, "wrong")


async def ask_reference(
    connections: Connections, photos: Sequence[PhotoFile], headers: str
) -> list[Case]:
    """Send each photo once, one at a time, and note the answers.

    Raises:
        StartupError: one gets none; the line names it.
    """
    return [await _case(connections, photo, headers) for photo in photos]


def accuracy(cases: Sequence[Case]) -> float | None:
    """Return the part of the labelled photos whose answer is their label; None without labels."""
    hits = [
        case.expected.class_id == case.photo.class_index
        for case in cases
        if case.photo.class_index is not None
    ]
    return sum(hits) / len(hits) if hits else None


async def _case(connections: Connections, photo: PhotoFile, headers: str) -> Case:
    request = connections.target.post_photo(photo.data, headers)
    where = f"{photo.name} got no first answer to compare with"
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            response = await connections.exchange(request)
        if response.status != 200:
            raise StartupError(f"{where}: {response.status} {_code(response.body)}")
        return Case(photo, request, top(response.body))
    except (OSError, ValueError) as error:
        raise StartupError(f"{where}: {str(error) or type(error).__name__}") from error


def _code(body: bytes) -> str:
    try:
        return str(json.loads(body)["code"])
    except (ValueError, LookupError, TypeError):
        return "no code"
