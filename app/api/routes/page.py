"""The page for people: what `GET /` answers a browser, and the files that the page loads.

The files lie in `app/api/page`. The browser needs nothing else, and no other server.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Request, Response

from app.errors import NotFound

router = APIRouter(prefix="/page", include_in_schema=False)

_MEDIA_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".jpg": "image/jpeg",
}
_POLICY = (
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    # A chosen photo is a blob of the page's own.
    "img-src 'self' blob:",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    # No text can become markup or a script: the page makes its elements one by one.
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
)
_HEADERS = {
    "Content-Security-Policy": "; ".join(_POLICY),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # The browser keeps the files, but asks each time whether they are still the same.
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True)
class _File:
    content: bytes
    media_type: str
    etag: str


def _read(path: Path) -> _File:
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return _File(content, _MEDIA_TYPES[path.suffix], f'"{digest[:16]}"')


_FILES = {path.name: _read(path) for path in (Path(__file__).parents[1] / "page").iterdir()}
PAGE = _FILES["index.html"].content.decode()


@router.get("/{name}")
async def page_file(name: str, request: Request) -> Response:
    """Return one file of the page.

    Raises:
        NotFound: the page has no such file.
    """
    if name not in _FILES:
        raise NotFound
    file = _FILES[name]
    headers = {**_HEADERS, "ETag": file.etag}
    # A proxy that compresses the file sends its tag with W/ before it.
    if file.etag in request.headers.get("If-None-Match", ""):
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)
