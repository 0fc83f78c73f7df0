"""Which web pages may send requests from a browser (CORS, the fetch standard's section 3.3)."""

from collections.abc import Callable, Iterable, Mapping

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.problems import problem_response
from app.errors import OriginNotAllowed

ANY = "*"
_METHODS = "GET, HEAD, POST, PUT"
# These requests cost nothing and change nothing, and the browser hides their answers from the page.
_SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
_EXPOSED = "X-Request-ID, Server-Timing, Retry-After"
# The longest time for which Chromium remembers the answer to a preflight.
_MAX_AGE_S = 7200


class Origins:
    """The web pages that may use the service: its own, and those of `allowed`.

    Args:
        allowed: origins such as https://photos.example, or "*" for all.
    """

    def __init__(self, allowed: Iterable[str]) -> None:
        self._allowed = frozenset(allowed)

    def refuses(self, origin: str, host: str, site: str) -> bool:
        """Return whether a request comes from a web page that may not use the service.

        The checks are those of Go's `net/http.CrossOriginProtection`.

        Args:
            origin: the header Origin; empty if the client is no browser.
            host: the header Host.
            site: the header Sec-Fetch-Site, by which browsers tell whether a page and the service
                have the same origin. Behind a proxy that changes Host, only they can know.
        """
        if not origin or self._allows(origin):
            return False
        if site:
            return site not in {"same-origin", "none"}
        return origin.partition("://")[2].lower() != host.lower()

    def headers(self, origin: str) -> Mapping[str, str]:
        """Return the headers by which a browser lets the page of `origin` read an answer."""
        if not self._allowed:
            return {}
        fields = {} if ANY in self._allowed else {"Vary": "Origin"}
        if origin and self._allows(origin):
            fields["Access-Control-Allow-Origin"] = ANY if ANY in self._allowed else origin
            fields["Access-Control-Expose-Headers"] = _EXPOSED
        return fields

    def annotate(self, answer: MutableHeaders, origin: str) -> None:
        """Add the same headers to those of an answer."""
        for name, value in self.headers(origin).items():
            answer.append(name, value)

    def _allows(self, origin: str) -> bool:
        return ANY in self._allowed or origin in self._allowed


class GuardOrigins:
    """Answers preflights, and refuses requests of web pages before their bodies are read."""

    def __init__(self, app: ASGIApp, origins: Origins) -> None:
        self.app = app
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the application handle one request, or answer it here."""
        app = self.app
        if scope["type"] == "http" and "origin" in (request := Request(scope)).headers:
            app = self._answer(request) or app
        await app(scope, receive, send)

    def _answer(self, request: Request) -> Response | None:
        """Return the answer to a preflight, or a refusal; None if the application answers."""
        preflight = _is_preflight(request)
        guarded = preflight or request.method not in _SAFE_METHODS
        if guarded and self._origins.refuses(*page_of(request.headers.get)):
            return problem_response(OriginNotAllowed(), request)
        return _permission(request) if preflight else None


def page_of(header: Callable[[str], str | None]) -> tuple[str, str, str]:
    """Return what a request's headers say of the web page that has sent it: `refuses` takes it."""
    return header("origin") or "", header("host") or "", header("sec-fetch-site") or ""


def _is_preflight(request: Request) -> bool:
    return request.method == "OPTIONS" and "access-control-request-method" in request.headers


def _permission(request: Request) -> Response:
    """Return the answer to a preflight. It permits every header, because none is harmful."""
    headers = {
        "Access-Control-Allow-Methods": _METHODS,
        "Access-Control-Allow-Headers": request.headers.get("access-control-request-headers", ""),
        "Access-Control-Max-Age": str(_MAX_AGE_S),
    }
    return Response(status_code=204, headers={k: v for k, v in headers.items() if v})
