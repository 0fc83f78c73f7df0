"""All errors. Those that a client gets have an HTTP status and a code that never changes."""

import shlex
from collections.abc import Mapping, Sequence
from typing import ClassVar


class BundleError(Exception):
    """A model directory cannot be used. The message is one line: the file and the reason."""


class StartupError(Exception):
    """The service cannot start, or a command cannot go on. The message is one line."""


class DiskFull(StartupError):
    """A file does not fit on the disk."""


class DownloadError(StartupError):
    """A file cannot be downloaded. The message says in one line which file and why."""


class Stopped(Exception):
    """The user stopped a command by a signal, and the command has tidied up.

    The message, if there is one, says how to go on.
    """

    def __init__(self, signal: int, message: str = "") -> None:
        super().__init__(message)
        self.signal = signal


class ServiceError(Exception):
    """A request gets no answer. The message goes to the client, so it holds no library's text."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "The server failed; this is not the request's fault"
    headers: ClassVar[Mapping[str, str]] = {}

    def __init__(self, detail: str | None = None, retry_after_s: int | None = None) -> None:
        super().__init__(detail or self.title)
        self.retry_after_s = retry_after_s


class InvalidRequest(ServiceError):
    status, code, title = 422, "invalid_request", "The request does not have the documented form"


class MalformedRequest(ServiceError):
    status, code, title = 400, "malformed_request", "The request is not well-formed HTTP/1.1"


class MalformedBody(ServiceError):
    status, code, title = 400, "malformed_body", "The body is not well-formed"


class UploadTimeout(ServiceError):
    status, code, title = 408, "upload_timeout", "The upload took too long to arrive"


class OriginNotAllowed(ServiceError):
    status, code, title = 403, "origin_not_allowed", "Web pages of this origin may not do this"


class NotFound(ServiceError):
    status, code, title = 404, "not_found", "There is nothing at this path"


class MethodNotAllowed(ServiceError):
    status, code, title = 405, "method_not_allowed", "This path does not accept this method"


class MissingFile(ServiceError):
    status, code, title = 422, "missing_file", "The request has no photo"


class EmptyFile(ServiceError):
    status, code, title = 422, "empty_file", "The file is empty"


class BrokenImage(ServiceError):
    status, code, title = 422, "broken_image", "The image is truncated or damaged"


class CostlyImage(ServiceError):
    status, code, title = 422, "costly_image", "The image cannot be decoded within the limits"


class UnsupportedImage(ServiceError):
    status, code, title = 415, "unsupported_image", "The file is not an image of a known format"


class FileTooLarge(ServiceError):
    status, code, title = 413, "file_too_large", "The upload has too many bytes"


class TooManyPixels(ServiceError):
    status, code, title = 413, "too_many_pixels", "The image has too many pixels"


class NotExplainable(ServiceError):
    status, code, title = 422, "not_explainable", "No map would be exact for the model's network"


class NoFeatures(ServiceError):
    status, code, title = 422, "no_features", "The model's network has no linear classifier"


class Overloaded(ServiceError):
    status, code, title = 429, "overloaded", "The service is full; try again shortly"


class KeyRate(ServiceError):
    status, code, title = 429, "key_rate", "This key sends more photos a second than it may"


class KeyBusy(ServiceError):
    status, code, title = 429, "key_busy", "This key has as many photos inside as it may have"


class ClientClosed(ServiceError):
    """The client cannot read this answer. Its status is for logs and metrics, as in nginx."""

    status, code, title = 499, "client_closed", "The client closed the connection"


class Unauthorized(ServiceError):
    status, code, title = 401, "unauthorized", "This path needs a valid key as a bearer token"
    headers: ClassVar[Mapping[str, str]] = {"WWW-Authenticate": "Bearer"}


class ReloadRunning(ServiceError):
    status, code, title = 409, "reload_running", "Another reload is still running"


class ReloadRefused(ServiceError):
    status, code, title = 409, "reload_refused", "The new bundle is unusable; the old one serves on"


class InferenceFailed(ServiceError):
    status, code, title = 500, "inference_failed", "The model gave no valid answer"


class NotReady(ServiceError):
    status, code, title = 503, "not_ready", "No worker can be started; try again later"

    def __init__(self, detail: str | None = None, retry_after_s: int = 1) -> None:
        super().__init__(detail, retry_after_s)


class Draining(ServiceError):
    status, code, title = 503, "draining", "The server is shutting down; please try again"


class WorkerLost(ServiceError):
    status, code, title = 503, "worker_lost", "The model's process has ended; please try again"

    def __init__(self, detail: str | None = None, retry_after_s: int = 1) -> None:
        super().__init__(detail, retry_after_s)


class DeadlineUnreachable(ServiceError):
    status, code, title = 504, "deadline_unreachable", "The queue is longer than the time allowed"


class DeadlineExceeded(ServiceError):
    status, code, title = 504, "deadline_exceeded", "No answer within the time allowed"


def codes() -> Sequence[str]:
    """Return the codes of all errors that a client may get."""
    kinds: list[type[ServiceError]] = [ServiceError, *ServiceError.__subclasses__()]
    return sorted(kind.code for kind in kinds if kind is not ClientClosed)


def command(*words: object) -> str:
    """Return `.venv/bin/python -m app WORDS...`, with every word quoted for a shell."""
    return shlex.join([".venv/bin/python", "-m", "app", *map(str, words)])
