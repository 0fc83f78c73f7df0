"""A real server in its own process, for tests that see it as a client does."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Self

import httpx

from app.bench.measure.launch import free_port
from app.bench.measure.processes import descendants

ROOT = Path(__file__).parents[1]


def until(condition: Callable[[], object], timeout_s: float = 60) -> None:
    """Wait until `condition` is true. It asks another process, so the wait polls."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "the condition did not become true in time"
        time.sleep(0.02)


class RunningServer:
    """`python -m app serve` on a free port. Keywords are the settings of the server."""

    def __init__(self, model_dir: Path, log: Path, **settings: object) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = log
        # A test that needs the service's own default sets None.
        # On a busy machine, the service would refuse photos that a test expects to be answered.
        quick = {"max_batch_size": 4, "drain_delay_s": 0.2, "longest_wait_s": 60}
        variables = {"model_dir": model_dir, "port": self.port, **quick, **settings}
        environment = {
            f"CLASSIFIER_{key.upper()}": str(value)
            for key, value in variables.items()
            if value is not None
        }
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "app", "serve"],
                env=os.environ | environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.client = httpx.Client(base_url=self.url, timeout=60)

    def __enter__(self) -> Self:
        until(lambda: self.process.poll() is not None or self.ready())
        assert self.process.poll() is None, self.log.read_text()
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.process.kill()
        self.process.wait()

    def ready(self) -> bool:
        return self.status("/health/ready") == 200

    def status(self, path: str) -> int | None:
        """Return the status of a GET on a new connection, or None if the server does not listen."""
        # Tests ask this again and again while they wait, and a client of httpx takes 25 ms to make.
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        with closing(connection), suppress(OSError, HTTPException):
            connection.request("GET", path)
            response = connection.getresponse()
            response.read()
            return response.status
        return None

    def predict(self, photo: bytes) -> httpx.Response:
        return self.client.post("/predict", files={"file": ("photo", photo)})

    def health(self) -> dict[str, Any]:
        health: dict[str, Any] = self.client.get("/health").json()
        return health

    def workers(self) -> list[int]:
        """Return the process ids of the server's workers."""
        own = descendants(self.process.pid)
        return sorted(pid for pid in own if process_name(pid) == "worker")

    def zygotes(self) -> list[int]:
        """Return the process ids of those that fork the workers: one for each loaded bundle."""
        own = descendants(self.process.pid)
        return sorted(pid for pid in own if process_name(pid) == "zygote")

    def zygote(self) -> int:
        """Return the process id of the only zygote."""
        (zygote,) = self.zygotes()
        return zygote

    def decoders(self) -> list[int]:
        """Return the process ids of the decoders."""
        own = descendants(self.process.pid)
        return sorted(pid for pid in own if process_name(pid) == "decoder")

    def kill_workers(self) -> None:
        """Kill workers until none serves. The pool starts new workers meanwhile."""

        def none_serves() -> bool:
            if self.ready():
                for pid in self.workers():
                    # The last round may have killed this worker already.
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            return self.status("/health/ready") == 503

        until(none_serves)

    def logged(self) -> list[dict[str, Any]]:
        """Return the complete JSON lines of the log. The server may be writing the last line."""
        whole, _, _ = self.log.read_text().rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]

    def line_of(self, request_id: str) -> dict[str, Any]:
        """Wait for the log line of a request, and return it."""

        def found() -> list[dict[str, Any]]:
            return [line for line in self.logged() if line.get("request_id") == request_id]

        until(found)
        (line,) = found()
        return line


@contextmanager
def stopped_worker(server: RunningServer) -> Iterator[None]:
    """Let the only worker stand still; it goes on afterwards."""
    (worker,) = server.workers()
    os.kill(worker, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(worker, signal.SIGCONT)


def start_error(*arguments: object, **variables: str) -> str:
    """Run `serve`, which cannot start; return its only line."""
    ended = subprocess.run(
        [sys.executable, "-m", "app", "serve", *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 1
    assert ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    return line


def cmdline(pid: int) -> bytes:
    """Return the command line of a process; empty if the process has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def process_name(pid: int) -> str:
    """Return the name of a process; empty if the process has ended."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""
