"""What the log and the metrics get to know of each request."""

import asyncio
import logging
import re
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from app.errors import ServiceError
from app.telemetry.metrics import Metrics

log = logging.getLogger("app.access")

# The route of a request that no route answers.
UNMATCHED = "unmatched"

_SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_LOG_INTERVAL_S = 1.0
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


@dataclass(frozen=True)
class Access:
    """A request and its outcome.

    Attributes:
        method: the method, or "-" if the request is too malformed to have one.
        path: the path of the request, decoded; "-" as above.
        route: the path of the route that has answered, or "unmatched".
        dialect: the protocol of the route if it takes photos, otherwise empty.
        status: the HTTP status.
        outcome: "ok", or the code of the error.
        seconds: time from the head to the end of the answer.
        client: the client's address.
        key: the name of the client's API key in the metrics; empty if it has none.
    """

    method: str
    path: str
    route: str
    dialect: str
    status: int
    outcome: str
    seconds: float
    client: str | None
    key: str = ""


def request_id_of(given: str) -> str:
    """Return the id that the client has given, or a new one if the client's is odd or missing."""
    return given if _SANE_ID.fullmatch(given) else uuid.uuid4().hex


def count_access(
    access: Access, metrics: Metrics, exemplar: Mapping[str, str] | None = None
) -> None:
    """Count a request in the metrics. `exemplar` has the ids of its trace, if it has one."""
    method = access.method if access.method in _METHODS else "OTHER"
    metrics.requests.labels(method, access.route, str(access.status), access.dialect).inc()
    metrics.request_seconds.labels(access.route).observe(
        access.seconds, dict(exemplar) if exemplar else None
    )
    if access.dialect:
        metrics.outcomes.labels(access.outcome).inc()
        if access.key:
            metrics.key_requests.labels(access.key).inc()


def log_access(access: Access, ids: Mapping[str, str]) -> None:
    """Write the log line of a request, with its ids."""
    # Quoted, because a terminal that shows the log would obey control characters in the path.
    path = quote(access.path)
    log.info(
        "%s %s %d",
        access.method,
        path,
        access.status,
        extra={
            **ids,
            "method": access.method,
            "path": path,
            "status": access.status,
            "outcome": access.outcome,
            "duration_ms": round(access.seconds * 1000, 2),
            "client": access.client,
        },
    )


class RefusalLog:
    """Writes one line for all requests of a second that the door has refused."""

    def __init__(self) -> None:
        self._unlogged: Counter[type[ServiceError]] = Counter()

    def add(self, error: ServiceError) -> None:
        """Take note of a refusal."""
        if not self._unlogged:
            asyncio.get_running_loop().call_later(_LOG_INTERVAL_S, self._write)
        self._unlogged[type(error)] += 1

    def _write(self) -> None:
        for error, count in self._unlogged.items():
            log.info(
                "%d requests refused at the door: %s",
                count,
                error.code,
                extra={"status": error.status, "outcome": error.code, "count": count},
            )
        self._unlogged.clear()
