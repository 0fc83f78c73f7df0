"""The URLs that a download may follow, and what of them is shown."""

from http.client import HTTPMessage
from typing import IO
from urllib.parse import SplitResult, urlsplit, urlunsplit
from urllib.request import HTTPRedirectHandler, Request

from app.errors import DownloadError

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def require_https(url: str) -> None:
    """Raise DownloadError unless the URL is one of HTTPS, or of HTTP on this machine."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise DownloadError(f"not a URL: {error}") from error
    try:
        _ = parts.port
    except ValueError as error:
        raise DownloadError(f"{shown(url)}: not a URL: {error}") from error
    if not _allowed(parts) or not parts.hostname:
        raise DownloadError(f"{shown(url)}: the URL must begin with https://")


def _allowed(parts: SplitResult) -> bool:
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)


def shown(url: str) -> str:
    """Return the URL as logs may show it: without a query, which may be a signature."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


class OnlyHTTPS(HTTPRedirectHandler):
    """Follows a redirect only to a URL that is as safe as the one before."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        """Return the next request.

        Raises:
            DownloadError: the redirect leads away from HTTPS.
        """
        old, new = urlsplit(req.full_url), urlsplit(newurl)
        if not _allowed(new) or (old.scheme == "https" != new.scheme):
            fp.close()
            raise DownloadError(f"{shown(req.full_url)}: it leads to {shown(newurl)}, not to https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
