"""The parameters of `POST /predict`: how they are read, and how they are documented.

FastAPI could do both, but it takes a quarter of the server's whole time for a photo.
"""

import math
import re
from typing import Any, Literal, NamedTuple

from fastapi import Request

from app.errors import InvalidRequest

_DIGITS = re.compile(r"[0-9]{1,9}")


class Parameter(NamedTuple):
    """A whole number that a client may send."""

    place: Literal["query", "header"]
    name: str
    maximum: int | None
    description: str

    def read(self, request: Request) -> int | None:
        """Return the number, or None if the client has sent none.

        Raises:
            InvalidRequest: it is not a number between 1 and the maximum.
        """
        values = request.query_params if self.place == "query" else request.headers
        given = values.get(self.name)
        return None if given is None else self.parsed(given)

    def parsed(self, given: str) -> int:
        """Return the number that a client has sent.

        Raises:
            InvalidRequest: it is not a number between 1 and the maximum.
        """
        if _DIGITS.fullmatch(given) and 1 <= int(given) <= (self.maximum or math.inf):
            return int(given)
        span = f"between 1 and {self.maximum}" if self.maximum else "from 1 on"
        raise InvalidRequest(f"{self.place}.{self.name.lower()}: it must be a whole number {span}")

    @property
    def documentation(self) -> dict[str, Any]:
        """The parameter as OpenAPI describes it."""
        schema: dict[str, Any] = {"type": "integer", "minimum": 1}
        if self.maximum:
            schema["maximum"] = self.maximum
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
    None,
    "Number of classes to return, by default 5; at most all of the model",
)
DEADLINE_MS = Parameter(
    "header",
    "X-Deadline-Ms",
    3_600_000,
    "Milliseconds that the client waits; the server's own deadline applies too",
)


def time_allowed_s(request: Request) -> float:
    """Return the seconds that the client waits; infinity if it does not say.

    Raises:
        InvalidRequest: the header is malformed.
    """
    deadline_ms = DEADLINE_MS.read(request)
    return math.inf if deadline_ms is None else deadline_ms / 1000
