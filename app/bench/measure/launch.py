"""A server of our own in a process of its own, to be measured."""

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

_READY_S = 120.0
_ENDED_S = 10.0


@asynccontextmanager
async def running_server(settings: Settings) -> AsyncIterator[Target]:
    """Start `python -m app serve` on a free port and wait until it is ready.

    Its other settings are the environment's, as ours are, but it asks for no key.

    Raises:
        StartupError: it does not become ready; with the last line of its log.
    """
    target = Target("127.0.0.1", free_port())
    command = [sys.executable, "-m", "app", "serve", "--host", target.host]
    command += ["--port", str(target.port), "--model-dir", str(settings.model_dir)]
    environment = {f"{PREFIX}DRAIN_DELAY_S": "0", f"{PREFIX}API_KEYS": ""}
    async with running_command(command, environment, target, "/health/ready"):
        yield target


@asynccontextmanager
async def running_command(
    command: Sequence[str], environment: Mapping[str, str], target: Target, ready: str
) -> AsyncIterator[int]:
    """Start a server and wait until a GET of the path `ready` gives 200; end it afterwards.

    Its process id is given.

    Raises:
        StartupError: it does not become ready; with the last line of its log.
    """
    with tempfile.TemporaryFile() as log:
        process = await asyncio.create_subprocess_exec(
            *command,
            env=os.environ | environment,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for us
        )
        try:
            await _ready(target, ready, process, log)
            yield process.pid
        finally:
            await _end(process)


async def _ready(target: Target, path: str, process: Process, log: IO[bytes]) -> None:
    connections = Connections(target, 1)
    try:
        async with asyncio.timeout(_READY_S):
            while process.returncode is None:
                if await _is_ready(connections, path):
                    return
                await asyncio.sleep(0.05)
    except TimeoutError:
        pass
    finally:
        connections.close()
    log.seek(0)
    lines = log.read().decode(errors="replace").splitlines() or ["it said nothing"]
    raise StartupError(f"the server did not become ready: {lines[-1]}")


async def _is_ready(connections: Connections, path: str) -> bool:
    try:
        response = await connections.exchange(connections.target.get(path))
    except OSError:
        return False
    return response.status == 200


async def _end(process: Process) -> None:
    started = descendants(process.pid)
    if process.returncode is None:
        process.terminate()
    try:
        async with asyncio.timeout(_ENDED_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
    for pid in started - {process.pid}:  # some servers leave their workers behind
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def free_port() -> int:
    """Return a port that nobody listens on just now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
