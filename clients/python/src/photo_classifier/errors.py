"""Why there is no answer."""

from collections.abc import Mapping
from typing import Any

# The service sends these codes for reasons that pass.
_PASSING = {"overloaded", "not_ready", "draining", "worker_lost", "deadline_unreachable"}


class ClassifierError(Exception):
    """The service gave no answer. The message is a sentence.

    Attributes:
        status: the HTTP status; 0 if there was no answer at all.
        code: the stable name of the error, such as "broken_image".
        request_id: the id of the request in the service's log; empty if it is unknown.
        retry_after_s: the seconds after which a retry can succeed; None if none can.
    """

    def __init__(
        self,
        detail: str,
        status: int = 0,
        code: str = "unknown",
        request_id: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.request_id = request_id
        self.retry_after_s = retry_after_s


class PhotoRefused(ClassifierError):
    """The service cannot read this photo, or does not accept the request. A retry fails too."""


class KeyRefused(ClassifierError):
    """The key is missing or wrong."""


class Busy(ClassifierError):
    """The service had no time for the photo within `timeout_s`."""


class Unreachable(ClassifierError):
    """There was no answer: a wrong URL, no network, or no such service."""


_KINDS: Mapping[int, type[ClassifierError]] = {
    400: PhotoRefused,
    401: KeyRefused,
    403: KeyRefused,
    413: PhotoRefused,
    415: PhotoRefused,
    422: PhotoRefused,
    429: Busy,
    503: Busy,
    504: Busy,
}


def error_of(
    problem: Mapping[str, Any], status: int, retry_after_s: float | None = None
) -> ClassifierError:
    """Return the error that the service describes.

    Args:
        problem: the problem (RFC 9457), or the error of one of several photos.
        status: the HTTP status.
        retry_after_s: the seconds of `Retry-After`; one of several photos has none of its own.
    """
    code = str(problem.get("code", "unknown"))
    if retry_after_s is None and code in _PASSING:
        retry_after_s = 1.0
    return _KINDS.get(status, ClassifierError)(
        str(problem.get("detail") or f"The service answered {status}"),
        status,
        code,
        str(problem.get("request_id", "")),
        retry_after_s,
    )
