"""The server's address, and requests as bytes, which are built once and sent many times."""

import hashlib
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from app.errors import StartupError


@dataclass(frozen=True)
class Target:
    """The address of a server. Photos are posted to `path`."""

    host: str
    port: int
    path: str = "/predict"

    @classmethod
    def parse(cls, url: str) -> Self:
        """Return the target of `http://host:port`; the URL may have another path than /predict.

        Raises:
            StartupError: the URL does not have this form.
        """
        try:
            address = urlsplit(url)
            port = address.port or 80
        except ValueError as error:
            raise StartupError(f"{url} is not a URL: {error}") from error
        if address.scheme != "http" or not address.hostname:
            raise StartupError(f"{url} is not of the form http://host:port")
        query = f"?{address.query}" if address.query else ""
        return cls(address.hostname, port, (address.path.rstrip("/") or cls.path) + query)

    def get(self, path: str) -> bytes:
        """Return the bytes of a GET request."""
        return f"GET {path} HTTP/1.1\r\nHost: {self._authority}\r\n\r\n".encode()

    def post_photo(self, photo: bytes, headers: str = "") -> bytes:
        """Return the bytes of a request that uploads `photo` in the multipart field `file`."""
        # The boundary is the photo's own hash, which cannot occur in the photo.
        boundary = hashlib.sha256(photo).hexdigest()
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
