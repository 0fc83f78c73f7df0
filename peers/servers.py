"""The servers that are compared. Each is started as its own documentation says."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import NamedTuple

from app.bench.load.target import Target
from app.bench.measure.launch import free_port, running_command

_OURS, _PEERS = ".venv/bin/python", ".venv-peers/{}/bin/python"


@dataclass(frozen=True)
class RawTarget(Target):
    """A server that takes a photo as the request's whole body."""

    def post_photo(self, photo: bytes, headers: str = "") -> bytes:
        """Return the bytes of a request with `photo` as its body."""
        head = f"POST {self.path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n"
        head += f"Content-Type: application/octet-stream\r\nContent-Length: {len(photo)}\r\n"
        return f"{head}{headers}\r\n".encode() + photo


class Server(NamedTuple):
    """How to start a server and how to send it requests.

    Attributes:
        command: the command line, in which `{port}` stands for the port.
        ready: the path that gives 200 once the server can answer.
        live: the path that gives 200 while the server lives.
        form: True if the server takes a photo as a multipart form, as ours does; otherwise a
            request's body is the photo.
        environment: further environment variables of the server.
    """

    command: str
    ready: str
    live: str
    form: bool = True
    environment: Mapping[str, str] = {}


def _peer(name: str, arguments: str) -> str:
    return f"{_PEERS.format(name)} -m {arguments}"


_UVICORN = f"{_OURS} -m uvicorn peers.plain:app --port {{port}} --no-access-log --log-level warning"

SERVERS = {
    "this service": Server(
        f"{_OURS} -m app serve --port {{port}}", "/health/ready", "/health/live"
    ),
    "mosec": Server(
        _peer("mosec", "peers.mosec --address 127.0.0.1 --port {port} --capacity 64"),
        "/",
        "/",
        form=False,
    ),
    "LitServe": Server(_peer("litserve", "peers.litserve {port}"), "/health", "/health"),
    "BentoML": Server(
        _peer("bentoml", "bentoml serve peers.bentoml:service --host 127.0.0.1 --port {port}"),
        "/readyz",
        "/livez",
        environment={"BENTOML_DO_NOT_TRACK": "True"},
    ),
    "Ray Serve": Server(
        _peer("ray", "peers.ray {port}"),
        "/-/routes",
        "/-/healthz",
        form=False,
        environment={"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"},
    ),
    "FastAPI": Server(
        _UVICORN, "/health", "/health", environment={"CLASSIFIER_THREADS_PER_WORKER": "2"}
    ),
    "FastAPI x 2": Server(f"{_UVICORN} --workers 2", "/health", "/health"),
}


@asynccontextmanager
async def running(
    server: Server, environment: Mapping[str, str]
) -> AsyncIterator[tuple[Target, int]]:
    """Start a server on a free port, wait until it is ready, and yield its address and process id.

    Raises:
        StartupError: the server does not become ready; the message has the last line of its log.
    """
    target = (Target if server.form else RawTarget)("127.0.0.1", free_port())
    command = server.command.format(port=target.port).split()
    both = {**environment, **server.environment}
    async with running_command(command, both, target, server.ready) as pid:
        yield target, pid
