"""Refusals as bytes: for requests that the connection answers itself, without the application."""

from collections.abc import Iterable
from http import HTTPStatus

from app.api.problems import MEDIA_TYPE, problem_of
from app.errors import ServiceError


def refusal(
    error: ServiceError, request_id: str, headers: Iterable[tuple[bytes, bytes]], close: bool
) -> bytes:
    """Return the whole HTTP response to `error`.

    Args:
        error: the error; it becomes a problem, as all errors do.
        request_id: the id of the request.
        headers: headers that every response of the server has, such as the date.
        close: whether the server closes the connection after the response.
    """
    body = problem_of(error, request_id).model_dump_json().encode()
    lines = [
        f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}",
        f"content-type: {MEDIA_TYPE}",
        f"content-length: {len(body)}",
        f"x-request-id: {request_id}",
    ]
    if error.retry_after_s is not None:
        lines.append(f"retry-after: {error.retry_after_s}")
    if close:
        lines.append("connection: close")
    head = "\r\n".join(lines).encode()
    for name, value in headers:
        head += b"\r\n" + name + b": " + value
    return head + b"\r\n\r\n" + body
