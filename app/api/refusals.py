"""Refusals as bytes: for requests that the connection answers itself, without the application."""

from collections.abc import Iterable
from functools import lru_cache
from http import HTTPStatus

from app.api.problems import PROBLEM, ErrorForm
from app.errors import ServiceError

# Where the id of the request goes. It is as long as the id that the server makes.
_ID = "-" * 32


def refusal(
    error: ServiceError,
    request_id: str,
    headers: Iterable[tuple[bytes, bytes]],
    close: bool,
    form: ErrorForm = PROBLEM,
) -> bytes:
    """Return the whole HTTP response to `error`.

    Args:
        error: the error.
        request_id: the id of the request.
        headers: headers that every response of the server has, such as the date.
        close: whether the server closes the connection after the response.
        form: the form in which the client expects errors.
    """
    retry_after_s = -1 if error.retry_after_s is None else error.retry_after_s
    # mypy believes that a class of exceptions has no hash.
    head, body = _template(type(error), str(error), retry_after_s, close, form)  # type: ignore[arg-type]
    answer_id = request_id.encode()
    body = body.replace(_ID.encode(), answer_id)
    fields = b"".join(b"\r\n" + name + b": " + value for name, value in headers)
    return head % (len(body), answer_id) + fields + b"\r\n\r\n" + body


@lru_cache(maxsize=64)
def _template(
    kind: type[ServiceError], detail: str, retry_after_s: int, close: bool, form: ErrorForm
) -> tuple[bytes, bytes]:
    """Return the head, with places for the body's length and the id, and the body with `_ID`."""
    error = kind(detail)
    lines = [
        f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}",
        f"content-type: {form.media_type}",
        "content-length: %d",
        "x-request-id: %b",
    ]
    if retry_after_s >= 0:
        lines.append(f"retry-after: {retry_after_s}")
    if close:
        lines.append("connection: close")
    return "\r\n".join(lines).encode(), form.body(error, _ID)
