"""Start a server in a separate process, so that the load tool can measure it."""

import asyncio
import os
import signal
import socket
import sys
import tempfile
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import IO

from app.bench.load.client import Connections
from app.bench.load.target import Target
from app.bench.measure.processes import descendants
from app.errors import StartupError
from app.settings import PREFIX, Settings

_READY_TIMEOUT_S = 120.0
_STOP_TIMEOUT_S = 10.0
_OF_KEYS = tuple(
    f"{PREFIX}{name}" for name in ("API_KEYS", "KEY_PHOTOS_PER_S", "KEY_BURST", "KEY_CONCURRENCY")
)


@asynccontextmanager
async def running_server(settings: Settings) -> AsyncIterator[Target]:
    """Start `python -m app serve` on a free port, wait until it is ready, and yield its address.

    The server reads its other settings from our environment, but it knows no API keys.

    Raises:
        StartupError: the server does not become ready; the message has the last line of its log.
    """
    target = Target("127.0.0.1", free_port())
    command = [sys.executable, "-m", "app", "serve", "--host", target.host]
    command += ["--port", str(target.port), "--model-dir", str(settings.model_dir)]
    environment: dict[str, str | None] = {f"{PREFIX}DRAIN_DELAY_S": "0"}
    environment |= dict.fromkeys(_OF_KEYS)
    async with running_command(command, environment, target, "/health/ready"):
        yield target


@asynccontextmanager
async def running_command(
    command: Sequence[str], environment: Mapping[str, str | None], target: Target, ready: str
) -> AsyncIterator[int]:
    """Start a server, wait until a GET of the path `ready` gives 200, and yield its process id.

    The server is stopped at the end.

    Args:
        command: the command line of the server.
        environment: environment variables of the server, beside our own; None removes one.
        target: the address that the server listens on.
        ready: the path of the server's readiness check.

    Raises:
        StartupError: the server does not become ready; the message has the last line of its log.
    """
    variables = {**os.environ, **environment}
    with tempfile.TemporaryFile() as log:
        process = await asyncio.create_subprocess_exec(
            *command,
            env={name: value for name, value in variables.items() if value is not None},
            stdout=log,
            stderr=log,
            # In a session of its own, the server does not get the terminal's Ctrl-C.
            start_new_session=True,
        )
        try:
            await _wait_until_ready(target, ready, process, log)
            yield process.pid
        finally:
            await _stop(process)


async def _wait_until_ready(target: Target, path: str, process: Process, log: IO[bytes]) -> None:
    connections = Connections(target, 1)
    try:
        async with asyncio.timeout(_READY_TIMEOUT_S):
            while process.returncode is None:
                if await _is_ready(connections, path):
                    return
                await asyncio.sleep(0.05)
    except TimeoutError:
        pass
    finally:
        connections.close()
    log.seek(0)
    lines = log.read().decode(errors="replace").splitlines() or ["its log is empty"]
    raise StartupError(f"the server did not become ready: {lines[-1]}")


async def _is_ready(connections: Connections, path: str) -> bool:
    try:
        response = await connections.exchange(connections.target.get(path))
    except OSError:
        return False
    return response.status == 200


async def _stop(process: Process) -> None:
    started = descendants(process.pid)
    if process.returncode is None:
        process.terminate()
    try:
        async with asyncio.timeout(_STOP_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
    # Some servers leave their workers behind.
    for pid in started - {process.pid}:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def free_port() -> int:
    """Return a TCP port on which no process listens at this moment."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
