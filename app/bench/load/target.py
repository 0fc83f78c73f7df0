"""The server's address, and requests as bytes, made once and sent often."""

import hashlib
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from app.errors import StartupError


@dataclass(frozen=True)
class Target:
    """Where requests go; `path` takes the photos."""

    host: str
    port: int
    path: str = "/predict"

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read `http://host:port`, with the path where it is not /predict.

        Raises:
            StartupError: it is none of these.
        """
        try:
            parts = urlsplit(url)
            port = parts.port or 80
        except ValueError as error:
            raise StartupError(f"{url} is not a URL: {error}") from error
        if parts.scheme != "http" or not parts.hostname:
            raise StartupError(f"{url} is not of the form http://host:port")
        query = f"?{parts.query}" if parts.query else ""
        return cls(parts.hostname, port, (parts.path.rstrip("/") or cls.path) + query)

    def get(self, path: str) -> bytes:
        """Return a GET request's bytes."""
        return f"GET {path} HTTP/1.1\r\nHost: {self._authority}\r\n\r\n".encode()

    def post_photo(self, photo: bytes, headers: str = "") -> bytes:
        """Return the bytes of a request that uploads `photo` in the multipart field `file`."""
        boundary = hashlib.sha256(photo).hexdigest()  # cannot occur in what it is the hash of
        before = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="photo"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        after = f"\r\n--{boundary}--\r\n"
        head = (
            f"POST {self.path} HTTP/1.1\r\nHost: {self._authority}\r\n"
            f"Content-Type: multipart/form-data; boundary={boundary}\r\n"
            f"Content-Length: {len(before) + len(photo) + len(after)}\r\n{headers}\r\n"
        )
        return b"".join((head.encode(), before.encode(), photo, after.encode()))

    @property
    def _authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"
