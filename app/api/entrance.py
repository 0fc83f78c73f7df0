"""The way from a connection to the door: which requests have to wait, and how they are refused."""

import asyncio
import math
import time
from collections.abc import Iterable
from urllib.parse import unquote

import httptools
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from app.api.access import UNMATCHED, Access, RefusalLog, count_access, log_access
from app.api.framing import Head
from app.api.keys import name_of
from app.api.origins import Origins, page_of
from app.api.parameters import DEADLINE_MS
from app.api.routes.direct import DirectRoute
from app.errors import InvalidRequest, MalformedRequest, ServiceError
from app.serving.admission import Turn
from app.serving.service import Service
from app.settings import Settings


class Entrance:
    """What all connections share: the door, and the records of those whom they refuse."""

    def __init__(self, app: FastAPI, settings: Settings) -> None:
        self._state = app.state
        routes = [context.original_route for context in iter_route_contexts(app.routes)]
        self._routes = [route for route in routes if isinstance(route, DirectRoute)]
        self._keys = settings.api_keys
        self._limits_keys = settings.limits_keys
        self._origins = Origins(settings.cors_origins)
        self._max_body_bytes = settings.max_body_bytes
        self._refusals = RefusalLog()

    @property
    def _service(self) -> Service:
        service: Service = self._state.service
        return service

    def guarded_route(self, head: Head) -> DirectRoute | None:
        """Return the route of a request that needs a turn; None for all other requests.

        The application refuses a request without a known key, from a foreign web page, or one that
        is too large, without reading its body, so such a request need not wait.
        """
        route = self._route(head) if head.method in {b"POST", b"PUT"} else None
        if (head.length or 0) > self._max_body_bytes:
            return None
        if self._keys and not name_of(_token(head), self._keys):
            return None
        return None if self._origins.refuses(*page_of(head.text)) else route

    def ask(self, head: Head) -> asyncio.Future[Turn]:
        """Return the turn of the request, in the future. Its place has to be released.

        Raises:
            ServiceError: the turn cannot come in time.
        """
        key = name_of(_token(head), self._keys) if self._limits_keys else ""
        return self._service.shares.ask(key, head.length or 0, _time_allowed_s(head))

    def headers(self, head: Head) -> Iterable[tuple[bytes, bytes]]:
        """Return the headers by which a web page may read a refusal."""
        fields = self._origins.headers(head.text("origin"))
        return [(name.lower().encode(), value.encode("latin-1")) for name, value in fields.items()]

    def record(self, head: Head, route: DirectRoute, error: ServiceError, started: float) -> None:
        """Count a refused request. The log gets one line for all refusals of a second."""
        access = Access(
            method=head.method.decode(),
            path=route.path,
            route=route.path,
            dialect=route.dialect,
            status=error.status,
            outcome=error.code,
            seconds=time.perf_counter() - started,
            client=None,
            key=name_of(_token(head), self._keys),
        )
        count_access(access, self._service.metrics)
        self._refusals.add(error)

    def record_malformed(
        self, error: MalformedRequest, request_id: str, client: tuple[str, int] | None
    ) -> None:
        """Count and log a request that is too malformed to have a method or a path."""
        address = client[0] if client else None
        access = Access("-", "-", UNMATCHED, "", error.status, error.code, 0.0, address)
        count_access(access, self._service.metrics)
        log_access(access, {"request_id": request_id, "detail": str(error)})

    @property
    def draining(self) -> bool:
        """Whether the shutdown has begun."""
        return self._service.draining

    def _route(self, head: Head) -> DirectRoute | None:
        """Return the route of a request, which uvicorn's parser must find as well."""
        try:
            path = unquote(httptools.parse_url(head.target).path.decode("ascii"))
        except (httptools.HttpParserInvalidURLError, AttributeError):
            return None
        method = head.method.decode()
        for route in self._routes:
            if route.path_regex.match(path) and method in (route.methods or ()):
                return route
        return None


def _token(head: Head) -> bytes:
    scheme, _, token = head.first(b"authorization").partition(b" ")
    return token.strip(b" ") if scheme.lower() == b"bearer" else b""


def _time_allowed_s(head: Head) -> float:
    """Return the seconds that the client waits. The application refuses a malformed number."""
    given = head.first(b"x-deadline-ms").decode("latin-1")
    if not given:
        return math.inf
    try:
        deadline_ms = DEADLINE_MS.parsed(given)
    except InvalidRequest:
        return math.inf
    return deadline_ms / 1000
