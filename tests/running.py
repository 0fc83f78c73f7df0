"""A real server in a real process, for tests that look at it from outside."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import httpx

from app.bench.measure.launch import free_port


def until(condition: Callable[[], object], timeout_s: float = 60) -> None:
    """Wait for something in another process."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


class RunningServer:
    """`python -m app serve` on a free port, with its settings as keywords."""

    def __init__(self, model_dir: Path, log: Path, **settings: object) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = log
        variables = {"model_dir": model_dir, "port": self.port, **settings}
        environment = {f"CLASSIFIER_{key.upper()}": str(value) for key, value in variables.items()}
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
        """Ask on a connection of its own; None where nobody listens."""
        try:
            return httpx.get(self.url + path, timeout=10).status_code
        except httpx.TransportError:
            return None

    def predict(self, photo: bytes) -> httpx.Response:
        return self.client.post("/predict", files={"file": ("photo", photo)})

    def health(self) -> dict[str, Any]:
        health: dict[str, Any] = self.client.get("/health").json()
        return health

    def workers(self) -> list[int]:
        """Return the process ids of its workers."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in children.split() if b"spawn_main" in cmdline(int(pid))]

    def kill_workers(self) -> None:
        """Kill them until none serves: new ones may be there before we have looked."""

        def none_serves() -> bool:
            if self.ready():
                for pid in self.workers():
                    with suppress(ProcessLookupError):  # it is dead from the time before
                        os.kill(pid, signal.SIGKILL)
            return self.status("/health/ready") == 503

        until(none_serves)

    def logged(self) -> list[dict[str, Any]]:
        """Return the JSON log lines written so far; of the last, only a part may be there yet."""
        whole, _, _ = self.log.read_text().rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]

    def line_of(self, request_id: str) -> dict[str, Any]:
        """Wait for a request's log line."""

        def found() -> list[dict[str, Any]]:
            return [line for line in self.logged() if line.get("request_id") == request_id]

        until(found)
        (line,) = found()
        return line


def cmdline(pid: int) -> bytes:
    """Return how a process was called; nothing where it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
