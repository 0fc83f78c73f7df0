"""Errors as `application/problem+json` (RFC 9457), all made in one place."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from app.api.schemas import Problem
from app.errors import (
    FileTooLarge,
    InvalidRequest,
    MalformedBody,
    MethodNotAllowed,
    MissingFile,
    NotFound,
    ServiceError,
    UploadTimeout,
)

MEDIA_TYPE = "application/problem+json"

# One for all: from copies of it, generated clients make types that stand in each other's way.
_SCHEMA = {"$ref": f"#/components/schemas/{Problem.__name__}"}

_BY_STATUS: dict[int, type[ServiceError]] = {
    error.status: error
    for error in (MalformedBody, NotFound, MethodNotAllowed, UploadTimeout, FileTooLarge)
}


def handle_problems(app: FastAPI) -> None:
    """Answer every error that a route or the framework raises with a problem.

    It comes after the routes: what they document refers to the one schema that is put down here.
    """
    app.openapi()["components"]["schemas"][Problem.__name__] = Problem.model_json_schema()
    app.add_exception_handler(ServiceError, _on_service_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)


def problem_response(error: ServiceError, request: Request) -> JSONResponse:
    """Return the response to `error`, and note its code for log and metrics."""
    request.state.outcome = error.code
    problem = Problem(
        type="about:blank",
        title=error.title,
        status=error.status,
        detail=str(error),
        code=error.code,
        request_id=request.state.request_id,
    )
    headers = dict(error.headers)
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    return JSONResponse(problem.model_dump(), error.status, headers, MEDIA_TYPE)


def documented(errors: Iterable[type[ServiceError]]) -> dict[int | str, dict[str, Any]]:
    """Return the entries of an OpenAPI operation's `responses` for these errors."""
    responses: dict[int | str, dict[str, Any]] = {}
    for error in errors:
        lines = [f"`{e.code}`: {e.title}." for e in errors if e.status == error.status]
        responses[error.status] = {
            "description": f"{HTTPStatus(error.status).phrase}. " + " ".join(lines),
            "content": {MEDIA_TYPE: {"schema": _SCHEMA}},
        }
    return responses


async def _on_service_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ServiceError)  # noqa: S101  (Starlette's types know only Exception)
    return problem_response(error, request)


async def _on_validation_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][:2])  # the rest are pydantic's own names
    if where == "body.file":
        return problem_response(MissingFile(), request)
    return problem_response(InvalidRequest(f"{where}: {first['msg']}"), request)


async def _on_http_exception(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101
    kind = _BY_STATUS.get(error.status_code, ServiceError)
    response = problem_response(kind(), request)
    response.headers.update(error.headers or {})
    return response
