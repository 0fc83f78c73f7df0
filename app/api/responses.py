"""The responses to requests with photos, in the form that the client accepts."""

from fastapi import Response
from pydantic import BaseModel

from app.api.schemas import Timings

JSON = "application/json"


def json_response(answer: BaseModel, timings: Timings | None = None) -> Response:
    """Return the response with a body of JSON; fields that are None are left out."""
    content = answer.model_dump_json(exclude_none=True)
    return Response(content, headers=_headers(timings), media_type=JSON)


def binary_response(content: bytes, media_type: str, timings: Timings | None = None) -> Response:
    """Return the response with a body of bytes."""
    return Response(content, headers=_headers(timings), media_type=media_type)


def _headers(timings: Timings | None) -> dict[str, str]:
    if timings is None:
        return {}
    return {"Server-Timing": ", ".join(f"{stage};dur={ms}" for stage, ms in timings)}
