"""The server's side of the zygote: the process that has loaded the model and forks the workers."""

import asyncio
import os
import signal
import socket
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection

from app.workers.messages import WorkerConfig
from app.workers.process import ChildProcess, ForkserverProcess
from app.workers.slots import PixelSlots
from app.workers.zygote_child import PID, REQUEST, fork_workers

_STOP_TIMEOUT_S = 2.0


class Zygote:
    """Forks workers of one model. If its process ends, the next fork starts another one."""

    def __init__(self, config: WorkerConfig, slots: PixelSlots) -> None:
        self._target = partial(_start, config, slots)
        self._process: ChildProcess | None = None
        self._over = asyncio.Event()
        self._ending: set[asyncio.Task[int]] = set()

    def fork(self, measured: int | None, connection: Connection) -> "Fork":
        """Ask for a worker that serves the other end of `connection`. This does not wait.

        Args:
            measured: as in `WorkerConfig`.
            connection: the worker's end of its pipe.
        """
        if self._process is None or self._process.lost:
            self._over.clear()
            self._process = ChildProcess(self._target, self._receive, self._on_lost)
        life, workers_end = os.pipe()
        with socket.socket(fileno=os.dup(self._process.connection.fileno())) as requests:
            request = REQUEST.pack(measured or 0)
            # If the zygote has just ended, the worker's pipe and life end at once as well.
            with suppress(OSError):
                socket.send_fds(requests, [request], [connection.fileno(), workers_end])
        os.close(workers_end)
        return Fork(life, self)

    def lose(self, reason: str) -> None:
        """Kill the process. Workers that it has forked live on."""
        if self._process:
            self._process.lose(reason)

    async def stop(self) -> None:
        """End the process, after its workers have ended."""
        if self._process and not self._process.lost:
            with socket.socket(fileno=os.dup(self._process.connection.fileno())) as requests:
                requests.shutdown(socket.SHUT_WR)
            with suppress(TimeoutError):
                async with asyncio.timeout(_STOP_TIMEOUT_S):
                    await self._over.wait()
            self._process.lose("stop")
        await asyncio.gather(*self._ending)

    def _receive(self) -> None:
        # The zygote sends nothing, so this raises because of the end of the pipe.
        assert self._process  # noqa: S101
        self._process.connection.recv_bytes()

    def _on_lost(self) -> None:
        assert self._process  # noqa: S101
        self._over.set()
        ending = asyncio.create_task(self._process.ended())
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)


class Fork:
    """A worker process that the zygote forks; see `process.Running`.

    The worker writes its process id to a pipe and keeps this pipe open as long as it lives.
    """

    def __init__(self, life: int, zygote: Zygote) -> None:
        self.pid = 0
        self._life = life
        self._zygote = zygote
        self._killed = False
        self._over = asyncio.Event()
        asyncio.get_running_loop().add_reader(life, self._read)

    def kill(self) -> None:
        """Kill the process, or the zygote if it has not forked in all this time."""
        self._killed = True
        if self._over.is_set():
            return
        if not self.pid:
            self._zygote.lose("hang")
            return
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    async def ended(self) -> int:
        """Wait for the end of the process. The zygote does not tell its exit code, so it is 0."""
        await self._over.wait()
        return 0

    def _read(self) -> None:
        if told := os.read(self._life, PID.size):
            (self.pid,) = PID.unpack(told)
            if self._killed:
                self.kill()
            return
        self._over.set()
        asyncio.get_running_loop().remove_reader(self._life)
        os.close(self._life)


def _start(config: WorkerConfig, slots: PixelSlots, connection: Connection) -> ForkserverProcess:
    return ForkserverProcess(fork_workers, connection, slots.memory, config)
