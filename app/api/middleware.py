"""Gives every request its id, its log line, its metrics and the attributes of its span."""

import asyncio
import logging
import time
from collections.abc import Mapping

from opentelemetry import trace
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.access import UNMATCHED, Access, count_access, log_access, request_id_of
from app.api.origins import Origins
from app.api.problems import problem_response
from app.api.routes.direct import dialect_of
from app.errors import Draining, ServiceError
from app.serving.service import Service
from app.telemetry.tracing import exemplar, trace_ids

log = logging.getLogger("app.access")


class Observe:
    """Gives each request an id, writes a log line for each answer and counts it in the metrics."""

    def __init__(self, app: ASGIApp, origins: Origins) -> None:
        self.app = app
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the application handle one request, and record its outcome."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, method = time.perf_counter(), scope["method"]
        scope = _as_get(scope)
        request = Request(scope, receive)
        service: Service = request.app.state.service
        if turn := getattr(request.state, "turn", None):
            started -= turn.waited_s
        request.state.request_id = request_id_of(request.headers.get("X-Request-ID", ""))
        ids = {"request_id": request.state.request_id, **trace_ids(request.headers)}
        status: int | None = None

        async def send_head(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request.state.request_id
                self._origins.annotate(headers, request.headers.get("Origin", ""))
                _annotate_span(request, message["status"])
                # The client then sends its next request on a new connection, to another server.
                if service.draining:
                    headers["Connection"] = "close"
            await send(message)

        try:
            await self.app(scope, receive, send_head)
        except asyncio.CancelledError:
            # uvicorn cancels the requests that are unanswered when the drain timeout is over.
            if status is not None or not service.draining:
                raise
            await problem_response(Draining(retry_after_s=1), request)(scope, receive, send_head)
        except Exception:
            log.exception("unhandled", extra=ids)
            if status is not None:
                raise
            await problem_response(ServiceError(), request)(scope, receive, send_head)
        finally:
            _record(request, method, service, status or 499, time.perf_counter() - started, ids)


def _as_get(scope: Scope) -> Scope:
    """Return what the routes see of a HEAD request. uvicorn leaves out the body of the answer."""
    return {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope


def _outcome(request: Request, status: int) -> str:
    code: str = getattr(request.state, "outcome", "ok" if status < 400 else "client_closed")
    return code


def _annotate_span(request: Request, status: int) -> None:
    """Add the request's id and outcome to its span. FastAPI makes the span but knows neither."""
    span = trace.get_current_span()
    if span.is_recording():
        span.set_attributes(
            {
                "classifier.request_id": request.state.request_id,
                "classifier.outcome": _outcome(request, status),
            }
        )


def _record(
    request: Request,
    method: str,
    service: Service,
    status: int,
    seconds: float,
    ids: Mapping[str, str],
) -> None:
    route = request.scope.get("route")
    access = Access(
        method=method,
        path=request.scope["path"],
        route=getattr(route, "path", UNMATCHED),
        dialect=dialect_of(route),
        status=status,
        outcome=_outcome(request, status),
        seconds=seconds,
        client=request.client.host if request.client else None,
        key=getattr(request.state, "key", ""),
    )
    count_access(access, service.metrics, exemplar(ids["request_id"]))
    log_access(access, ids)
