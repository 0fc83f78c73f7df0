"""A server of one file, on this machine. Each request gets the next step of the server's script."""

import contextlib
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

# Every step of these tests takes less time than this.
WAIT_S = 30.0
ETAG = '"first"'


def write_certificate(folder: Path) -> tuple[Path, Path]:
    """Write a certificate of 127.0.0.1 and its key, and return their files."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "2", "-subj", "/CN=test", "-keyout", str(key)]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


class Origin(ThreadingHTTPServer):
    """A server for one file.

    Attributes:
        body: the file's bytes.
        etag: the file's ETag; empty if the server tells none.
        script: the steps that are left; each one answers one request. After the last one, the
            server answers as a good server does.
        ranges: the Range header of each request so far.
        requests: the Range and If-Range headers of each request so far.
        stalled: is set when a handler starts to stall.
        released: ends the stall.
    """

    # With threads that are not daemons, server_close waits for every handler.
    daemon_threads = False

    def __init__(
        self, body: bytes, path: str, certificate: tuple[Path, Path] | None = None
    ) -> None:
        """With a certificate and its key, the server speaks HTTPS."""
        super().__init__(("127.0.0.1", 0), Handler)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self.socket = context.wrap_socket(
                self.socket, server_side=True, do_handshake_on_connect=False
            )
        scheme = "https" if certificate else "http"
        self.url = f"{scheme}://127.0.0.1:{self.server_port}{path}"
        self.body, self.etag = body, ETAG
        self.script: list[Callable[[Handler], None]] = []
        self.requests: list[tuple[str | None, str | None]] = []
        self.stalled, self.released = threading.Event(), threading.Event()

    @property
    def ranges(self) -> list[str | None]:
        return [wanted for wanted, _ in self.requests]

    @contextlib.contextmanager
    def running(self) -> Iterator[Self]:
        with self:
            thread = threading.Thread(target=self.serve_forever, args=(0.01,))
            thread.start()
            yield self
            self.released.set()
            self.shutdown()
            thread.join()

    def handle_error(self, *_: object) -> None:
        """A client that does not trust the certificate breaks the connection."""


class Handler(BaseHTTPRequestHandler):
    server: Origin

    def do_GET(self) -> None:
        self.server.requests.append((self.headers["Range"], self.headers["If-Range"]))
        step = self.server.script.pop(0) if self.server.script else Handler.good
        # The connection breaks when a test kills the client.
        with contextlib.suppress(OSError):
            step(self)

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        given = {"Content_Length": str(len(body)), "ETag": self.server.etag, **headers}
        for name, value in given.items():
            if value:
                self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def good(self) -> None:
        """Send the requested range if the client knows the present ETag, or the whole file."""
        body, wanted = self.server.body, self.headers["Range"]
        if not wanted or self.headers["If-Range"] != self.server.etag:
            self.answer(200, body)
            return
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start >= len(body):
            self.answer(416, Content_Range=f"bytes */{len(body)}")
        else:
            told = f"bytes {start}-{len(body) - 1}/{len(body)}"
            self.answer(206, body[start:], Content_Range=told)

    def whole(self) -> None:
        """Send the whole file, as a server does that knows no ranges."""
        self.answer(200, self.server.body)

    def half(self) -> None:
        """Announce the whole file, send half of it and close the connection."""
        body = self.server.body
        self.answer(200, body[: len(body) // 2], Content_Length=str(len(body)))

    def stall(self) -> None:
        """Do as `half` does, but close the connection only when the test sets `released`."""
        self.half()
        self.server.stalled.set()
        self.server.released.wait(WAIT_S)


def fails(status: int) -> Callable[[Handler], None]:
    """Return the step that answers with an error."""
    return lambda handler: handler.answer(status, b"<html>no</html>")
