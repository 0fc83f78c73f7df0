"""Error responses as `application/problem+json` (RFC 9457). This module makes all of them."""

import difflib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route

from app.api.schemas import Problem
from app.errors import (
    FileTooLarge,
    InvalidRequest,
    MalformedBody,
    MethodNotAllowed,
    MissingFile,
    NotFound,
    ServiceError,
    Unauthorized,
    UploadTimeout,
)

MEDIA_TYPE = "application/problem+json"

# All responses refer to one schema, because client generators would make a type of each copy, and
# these types would conflict.
_SCHEMA = {"$ref": f"#/components/schemas/{Problem.__name__}"}

# The id of a request, for the examples of the documentation.
EXAMPLE_ID = "252517a3e73646ca8824b6e85dc453a3"

_RETRY_AFTER = {
    "Retry-After": {
        "description": "Seconds until a retry can succeed",
        "schema": {"type": "integer", "minimum": 0},
    }
}
_HEADERS: dict[int, dict[str, Any]] = {
    401: {
        "WWW-Authenticate": {
            "schema": {"type": "string"},
            "example": Unauthorized.headers["WWW-Authenticate"],
        }
    },
    429: _RETRY_AFTER,
    503: _RETRY_AFTER,
    504: _RETRY_AFTER,
}

_BY_STATUS: dict[int, type[ServiceError]] = {
    error.status: error
    for error in (MalformedBody, NotFound, MethodNotAllowed, UploadTimeout, FileTooLarge)
}


@dataclass(frozen=True)
class ErrorForm:
    """The form in which a protocol tells its errors.

    Attributes:
        media_type: the type of the body.
        fields: makes the fields of the body from the error and the id of the request.
    """

    media_type: str
    fields: Callable[[ServiceError, str], Mapping[str, object]]

    def body(self, error: ServiceError, request_id: str) -> bytes:
        """Return the body of the response to `error`."""
        fields = self.fields(error, request_id)
        return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()


def problem_of(error: ServiceError, request_id: str) -> Problem:
    """Return the problem that `error` is."""
    return Problem(
        type="about:blank",
        title=error.title,
        status=error.status,
        detail=str(error),
        code=error.code,
        request_id=request_id,
    )


PROBLEM = ErrorForm(MEDIA_TYPE, lambda error, id_: problem_of(error, id_).model_dump())


def handle_problems(app: FastAPI) -> None:
    """Answer every error that a route or the framework raises with a problem."""
    app.add_exception_handler(ServiceError, _on_service_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)


def problem_response(error: ServiceError, request: Request) -> Response:
    """Return the response to `error` in the form of the request's route.

    It notes the code of the error for the log and the metrics.
    """
    request.state.outcome = error.code
    form: ErrorForm = getattr(request.scope.get("route"), "error_form", PROBLEM)
    headers = dict(error.headers)
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    body = form.body(error, request.state.request_id)
    return Response(body, error.status, headers, form.media_type)


def documented(errors: Iterable[type[ServiceError]]) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of an OpenAPI operation that may fail with `errors`."""
    responses: dict[int | str, dict[str, Any]] = {}
    for error in errors:
        lines = [f"`{e.code}`: {e.title}." for e in errors if e.status == error.status]
        responses[error.status] = {
            "description": f"{HTTPStatus(error.status).phrase}. " + " ".join(lines),
            "headers": _HEADERS.get(error.status, {}),
            "content": {
                MEDIA_TYPE: {
                    "schema": _SCHEMA,
                    "examples": {e.code: _example(e) for e in errors if e.status == error.status},
                }
            },
        }
    return responses


def _example(error: type[ServiceError]) -> dict[str, Any]:
    return {"summary": error.title, "value": problem_of(error(), EXAMPLE_ID).model_dump()}


async def _on_service_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)  # noqa: S101  (Starlette declares any Exception)
    return problem_response(error, request)


async def _on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    first = error.errors()[0]
    # The further elements of `loc` are pydantic's internal names.
    where = ".".join(str(part) for part in first["loc"][:2])
    if where == "body.file":
        return problem_response(MissingFile(), request)
    return problem_response(InvalidRequest(f"{where}: {first['msg']}"), request)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    kind = _BY_STATUS.get(error.status_code, ServiceError)
    hint = _similar_path(request) if kind is NotFound else None
    response = problem_response(kind(hint), request)
    response.headers.update(error.headers or {})
    if kind is MethodNotAllowed:
        # Starlette names the methods of one route, but a path may have several.
        response.headers["Allow"] = ", ".join(sorted(_methods(request)))
    return response


def _methods(request: Request) -> set[str]:
    """Return the methods that the path of a request accepts."""
    found: set[str] = set()
    for context in iter_route_contexts(request.app.routes):
        route = context.original_route
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE:
            found |= route.methods or set()
    return found


def _similar_path(request: Request) -> str | None:
    """Return a sentence with the path that a client may have meant, if one is similar."""
    paths = [*request.app.openapi()["paths"], "/docs", "/openapi.json"]
    found = difflib.get_close_matches(request.url.path[:100].lower(), paths, n=1, cutoff=0.75)
    return f"{NotFound.title}; did you mean {found[0]}?" if found else None
