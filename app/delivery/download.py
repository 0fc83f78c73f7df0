"""A file over HTTPS, continued after a break, and checked.

Only Python's own library is used, because the image has no other HTTP client to rely on. The bytes
go to a file `part`. Beside it, a file `*.validator` has what the server told to recognise the same
file by, so that a later call can continue the download.
"""

import re
import ssl
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage, HTTPResponse, InvalidURL
from importlib.util import find_spec
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import HTTPSHandler, Request, build_opener

from app import __version__
from app.delivery.progress import Watcher
from app.delivery.urls import OnlyHTTPS, shown
from app.disk import room_for
from app.errors import DownloadError
from app.model.bundle import sha256 as hash_of

# A connection is given up when no byte arrives for this long.
TIMEOUT_S = 30.0
RETRY_PAUSES_S = (1.0, 2.0, 4.0, 8.0)
_CHUNK = 1 << 18
# The server asks for patience with these, and with every 5xx.
_PASSING = frozenset({408, 429})


class _Dropped(Exception):
    """The download ended early, and another attempt may continue it."""


def download(url: str, part: Path, watcher: Watcher, max_bytes: int = sys.maxsize) -> None:
    """Append to `part` what it lacks of the file at `url`, which `require_https` must allow.

    Raises:
        DownloadError: the server refuses the URL, the connection fails after all retries, or the
            file is too large.
        DiskFull: the file does not fit on the disk.
        OSError: the file cannot be written for another reason.
    """
    for pause_s in (*RETRY_PAUSES_S, None):
        try:
            _Download(url, part, max_bytes, watcher).run()
        except _Dropped as error:
            if pause_s is None:
                raise DownloadError(
                    f"{shown(url)}: {error}; run the command again to continue the download"
                ) from error
            watcher.say(f"{error}; trying again in {pause_s:g} s")
            time.sleep(pause_s)
        else:
            return


def check(part: Path, sha256: str, source: str) -> None:
    """Raise DownloadError, and delete `part`, unless its bytes from `source` have the hash."""
    if (actual := hash_of(part)) != sha256:
        forget(part)
        raise DownloadError(
            f"{source}: its SHA-256 is {actual}, expected {sha256}; "
            "run the command again to download it anew"
        )


def forget(part: Path) -> None:
    """Delete `part` and what is known of it."""
    part.unlink(missing_ok=True)
    _validator(part).unlink(missing_ok=True)


def _validator(part: Path) -> Path:
    return part.with_name(f"{part.name}.validator")


@dataclass(frozen=True)
class _Download:
    """One attempt to get what `part` lacks."""

    url: str
    part: Path
    max_bytes: int
    watcher: Watcher

    def run(self) -> None:
        request = Request(self.url, headers=_headers(self.part))  # noqa: S310  (it is https)
        with _open(request, self.part) as response:
            start, total = _extent(response, self.part)
            if total is not None:
                self._require_small(total)
            self.watcher.begin(start, total)
            size = self._append(response, start, total)
        self._require_small(size)
        if total is not None and size != total:
            raise _Dropped(f"only {size} of {total} bytes arrived")

    def _append(self, response: HTTPResponse, size: int, total: int | None) -> int:
        """Append the answer's body to `part`, which has `size` bytes, and return the new size."""
        with room_for(self.part, total), self.part.open("ab") as file:
            for chunk in _chunks(response):
                file.write(chunk)
                self.watcher.advance(len(chunk))
                size += len(chunk)
                if size > self.max_bytes:
                    break
        return size

    def _require_small(self, size: int) -> None:
        if size > self.max_bytes:
            forget(self.part)
            raise DownloadError(
                f"{shown(self.url)}: it has more than the {self.max_bytes} bytes of --max-bytes"
            )


def _headers(part: Path) -> dict[str, str]:
    # A range counts the bytes that are sent, so the server must not compress the file.
    headers = {"Accept-Encoding": "identity", "User-Agent": f"photo-classifier/{__version__}"}
    validator = _validator(part)
    if part.exists() and validator.exists():
        headers["Range"] = f"bytes={part.stat().st_size}-"
        # If the file has changed, the server sends all of the new one.
        headers["If-Range"] = validator.read_text()
    return headers


def _authorities() -> ssl.SSLContext:
    """Return whom to trust: the system's authorities, or certifi's where Python finds none.

    Python from python.org finds none on macOS, unless its user has installed them.
    """
    places = ssl.get_default_verify_paths()
    if places.cafile or places.capath or not find_spec("certifi"):
        return ssl.create_default_context()
    import certifi  # noqa: PLC0415  (only some systems need it, and the image does not have it)

    return ssl.create_default_context(cafile=certifi.where())


def _open(request: Request, part: Path) -> HTTPResponse:
    opener = build_opener(OnlyHTTPS, HTTPSHandler(context=_authorities()))
    try:
        response: HTTPResponse = opener.open(request, timeout=TIMEOUT_S)
    except HTTPError as error:
        error.close()
        # For a redirect, the reason would be several lines with the whole address.
        why = error.reason if error.code >= 400 else "with a redirect that is not followed"
        reason = _printable(f"HTTP {error.code} {why}".rstrip())
        if error.code == 416:
            forget(part)
        elif error.code < 500 and error.code not in _PASSING:
            raise DownloadError(f"{shown(request.full_url)}: {reason}") from error
        raise _Dropped(reason) from error
    except (InvalidURL, ValueError) as error:
        raise DownloadError(f"{shown(request.full_url)}: not a URL, or it leads to none") from error
    except (OSError, HTTPException) as error:
        cause = error.reason if isinstance(error, URLError) else error
        if isinstance(cause, ssl.SSLCertVerificationError):
            raise DownloadError(
                f"{shown(request.full_url)}: its certificate is not trusted "
                f"({cause.verify_message}); SSL_CERT_FILE may name a file of authorities"
            ) from error
        raise _Dropped(_line(cause)) from error
    return response


def _extent(response: HTTPResponse, part: Path) -> tuple[int, int | None]:
    """Return the offset of the body in the file, and the length of the file if it is known.

    For a whole file, `part` begins anew. For a rest that does not continue `part`, it is deleted.
    """
    if response.status != 206:
        _begin(part, response.headers)
        length = response.headers["Content-Length"]
        return 0, int(length) if length and length.isdecimal() else None
    header = _printable(response.headers["Content-Range"] or "")
    extent = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", header)
    size = part.stat().st_size if part.exists() else 0
    if extent is None or int(extent[1]) != size:
        forget(part)
        raise _Dropped(f"the server sent another part than the one asked for ({header})")
    return size, int(extent[2]) if extent[2] != "*" else None


def _begin(part: Path, headers: HTTPMessage) -> None:
    forget(part)
    etag = headers["ETag"] or ""
    # A weak ETag does not promise the same bytes.
    validator = (headers["Last-Modified"] or "") if etag[:2] in {"", "W/"} else etag
    if validator.isascii() and validator.isprintable() and validator:
        _validator(part).write_text(validator)


def _chunks(response: HTTPResponse) -> Iterator[bytes]:
    while True:
        try:
            chunk = response.read1(_CHUNK)
        except (OSError, HTTPException) as error:
            raise _Dropped(_line(error)) from error
        if not chunk:
            return
        yield chunk


def _line(error: object) -> str:
    return _printable(" ".join(str(error).split())) or type(error).__name__


def _printable(told: str) -> str:
    """Return what a server has told, without characters that a terminal would obey."""
    return "".join(each if each.isprintable() else "?" for each in told)
