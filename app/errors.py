"""Everything that can go wrong, each with its HTTP status and its stable public code."""

import shlex
from collections.abc import Mapping
from typing import ClassVar


class BundleError(Exception):
    """A model directory cannot be used: one line that says which file and why."""


class StartupError(Exception):
    """The service cannot start, or a command cannot go on: one line that says why."""


class ServiceError(Exception):
    """A request that gets no answer. Its text is ours and goes to the client as it is."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "The server failed; this is not the request's fault"
    headers: ClassVar[Mapping[str, str]] = {}

    def __init__(self, detail: str | None = None, retry_after_s: int | None = None) -> None:
        super().__init__(detail or self.title)
        self.retry_after_s = retry_after_s


class InvalidRequest(ServiceError):
    status, code, title = 422, "invalid_request", "The request is not of the documented form"


class MalformedBody(ServiceError):
    status, code, title = 400, "malformed_body", "The body is not a well-formed multipart form"


class UploadTimeout(ServiceError):
    status, code, title = 408, "upload_timeout", "The upload took too long to arrive"


class NotFound(ServiceError):
    status, code, title = 404, "not_found", "There is nothing at this path"


class MethodNotAllowed(ServiceError):
    status, code, title = 405, "method_not_allowed", "This path does not take this method"


class MissingFile(ServiceError):
    status, code, title = 422, "missing_file", "The form has no file in its field 'file'"


class EmptyFile(ServiceError):
    status, code, title = 422, "empty_file", "The uploaded file is empty"


class BrokenImage(ServiceError):
    status, code, title = 422, "broken_image", "The image is truncated or damaged"


class UnsupportedImage(ServiceError):
    status, code, title = 415, "unsupported_image", "The file is not an image of a known format"


class FileTooLarge(ServiceError):
    status, code, title = 413, "file_too_large", "The upload has too many bytes"


class TooManyPixels(ServiceError):
    status, code, title = 413, "too_many_pixels", "The image has too many pixels"


class Overloaded(ServiceError):
    status, code, title = 429, "overloaded", "All places are taken; try again shortly"


class ClientClosed(ServiceError):
    """Nobody reads this answer; the status is for logs and metrics (nginx's convention)."""

    status, code, title = 499, "client_closed", "The client closed the connection"


class Unauthorized(ServiceError):
    status, code, title = 401, "unauthorized", "This needs a valid key as a bearer token"
    headers: ClassVar[Mapping[str, str]] = {"WWW-Authenticate": "Bearer"}


class ReloadRunning(ServiceError):
    status, code, title = 409, "reload_running", "A new bundle is being started already"


class ReloadRefused(ServiceError):
    status, code, title = 409, "reload_refused", "The new bundle cannot be used; the old one serves"


class InferenceFailed(ServiceError):
    status, code, title = 500, "inference_failed", "The model gave no valid answer"


class NotReady(ServiceError):
    status, code, title = 503, "not_ready", "No worker can be started; try again later"

    def __init__(self, detail: str | None = None, retry_after_s: int = 1) -> None:
        super().__init__(detail, retry_after_s)


class Draining(ServiceError):
    status, code, title = 503, "draining", "The server ends before the answer; please send it again"


class WorkerLost(ServiceError):
    status, code, title = 503, "worker_lost", "The model's process was lost; please send it again"

    def __init__(self, detail: str | None = None, retry_after_s: int = 1) -> None:
        super().__init__(detail, retry_after_s)


class DeadlineUnreachable(ServiceError):
    status, code, title = 504, "deadline_unreachable", "The queue is longer than the time allowed"


class DeadlineExceeded(ServiceError):
    status, code, title = 504, "deadline_exceeded", "No answer within the time allowed"


def command(*words: object) -> str:
    """Return `.venv/bin/python -m app WORDS...` as a shell takes it, whatever names hold."""
    return shlex.join([".venv/bin/python", "-m", "app", *map(str, words)])
