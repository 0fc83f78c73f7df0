"""The parameters of photos' requests: how they are read, and how they are documented.

FastAPI could do both, but it would be slow: see `DirectRoute`.
"""

import difflib
import math
import re
from dataclasses import dataclass
from typing import Any, Literal

from fastapi import Request

from app.errors import InvalidRequest
from app.model.features import Question

_LARGEST = 999_999_999
_WHOLE = re.compile(r"[0-9]{1,9}")
_DECIMAL = re.compile(r"[0-9]{0,9}(?:[0-9]|\.[0-9]{1,15})")


@dataclass(frozen=True)
class Parameter:
    """A number that a client may send.

    Attributes:
        place: where the client sends it.
        name: its name.
        minimum: the least number; if it is a float, the number need not be whole.
        maximum: the greatest number, or None.
        description: what it means.
        default: what the service takes if the client sends none; None means no number.
    """

    place: Literal["query", "header"]
    name: str
    minimum: float
    maximum: float | None
    description: str
    default: float | None = None

    def read(self, request: Request) -> float | None:
        """Return the number, or None if the client has sent none.

        Raises:
            InvalidRequest: the number is malformed or out of bounds.
        """
        values = request.query_params if self.place == "query" else request.headers
        given = values.get(self.name)
        return None if given is None else self.parsed(given)

    def parsed(self, given: str) -> float:
        """Return the number that a client has sent.

        Raises:
            InvalidRequest: the number is malformed or out of bounds.
        """
        most = _LARGEST if self.maximum is None else self.maximum
        pattern, kind = (_WHOLE, int) if isinstance(self.minimum, int) else (_DECIMAL, float)
        if pattern.fullmatch(given) and self.minimum <= kind(given) <= most:
            return kind(given)
        number = "whole number" if kind is int else "number"
        span = f"from {self.minimum} to {most}"
        raise InvalidRequest(f"{self.place}.{self.name.lower()}: it must be a {number} {span}")

    @property
    def documentation(self) -> dict[str, Any]:
        """The parameter as OpenAPI describes it."""
        kind = "integer" if isinstance(self.minimum, int) else "number"
        schema: dict[str, Any] = {"type": kind, "minimum": self.minimum}
        bounds = {"maximum": self.maximum, "default": self.default}
        schema |= {name: bound for name, bound in bounds.items() if bound is not None}
        return {
            "name": self.name,
            "in": self.place,
            "required": False,
            "description": self.description,
            "schema": schema,
        }


TOP_K = Parameter(
    "query",
    "top_k",
    1,
    None,
    "Number of classes to return",
    5,
)
MIN_SCORE = Parameter("query", "min_score", 0.0, 1.0, "Leave out classes with a lower score", 0.0)
DEADLINE_MS = Parameter(
    "header",
    "X-Deadline-Ms",
    1,
    3_600_000,
    "Milliseconds that the client waits; the server's own deadline applies too",
)
CLASS_INDEX = Parameter(
    "query", "class_index", 0, None, "Number of the class, by default that of the likeliest class"
)
NORMALIZE = {
    "name": "normalize",
    "in": "query",
    "required": False,
    "description": "Whether the vector is divided by its length (L2 norm)",
    "schema": {"type": "boolean", "default": False},
}
PARAMETERS = (TOP_K, MIN_SCORE, DEADLINE_MS)
# The names of all parameters that any route takes from the query.
QUERY_NAMES = {TOP_K.name, MIN_SCORE.name, CLASS_INDEX.name, str(NORMALIZE["name"])}

_QUERY = {TOP_K.name, MIN_SCORE.name}


@dataclass(frozen=True)
class Wishes:
    """What a client asks for beside its photos.

    Attributes:
        top_k: how many classes at most; None means five, or all classes that reach the thresholds
            of the bundle.
        min_score: the lowest score that the client wants to see.
        time_allowed_s: seconds that the client waits; infinity if it does not say.
        question: what the client asks for besides the classes.
        normalize: whether a vector is divided by its length.
    """

    top_k: int | None
    min_score: float
    time_allowed_s: float
    question: Question | None = None
    normalize: bool = False


def wishes_of(request: Request) -> Wishes:
    """Return what the query and the headers of a request ask for.

    Raises:
        InvalidRequest: a parameter is unknown, malformed or out of bounds.
    """
    _refuse_unknown(request, _QUERY)
    top_k = TOP_K.read(request)
    return Wishes(
        None if top_k is None else int(top_k),
        MIN_SCORE.read(request) or 0.0,
        time_allowed_s(request),
    )


def map_wishes_of(request: Request, aspect: Literal["map", "picture"]) -> Wishes:
    """Return what a request for a map asks for.

    Raises:
        InvalidRequest: a parameter is unknown, malformed or out of bounds.
    """
    _refuse_unknown(request, {CLASS_INDEX.name})
    given = CLASS_INDEX.read(request)
    question = Question(aspect, None if given is None else int(given))
    return Wishes(1, 0.0, time_allowed_s(request), question)


def vector_wishes_of(request: Request) -> Wishes:
    """Return what a request for a vector asks for.

    Raises:
        InvalidRequest: a parameter is unknown or malformed.
    """
    name = str(NORMALIZE["name"])
    _refuse_unknown(request, {name})
    given = request.query_params.get(name, "false")
    if given not in {"true", "false"}:
        raise InvalidRequest(f"query.{name}: it must be true or false")
    return Wishes(1, 0.0, time_allowed_s(request), Question("vector"), given == "true")


def time_allowed_s(request: Request) -> float:
    """Return the seconds that the client waits; infinity if it does not say.

    Raises:
        InvalidRequest: the number is malformed or out of bounds.
    """
    deadline_ms = DEADLINE_MS.read(request)
    return math.inf if deadline_ms is None else deadline_ms / 1000


def _refuse_unknown(request: Request, known: set[str]) -> None:
    names = [name for name, _ in request.query_params.multi_items()]
    for name in names:
        if names.count(name) > 1:
            raise InvalidRequest(f"query.{name[:50]}: the request has it more than once")
        if name not in known:
            similar = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"did you mean {similar[0]}?" if similar else f"it knows {', '.join(known)}"
            raise InvalidRequest(f"query.{name[:50]}: the service has no such parameter; {hint}")
