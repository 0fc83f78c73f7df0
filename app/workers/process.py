"""One child process and the pipe to it, as the event loop sees them."""

import asyncio
import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from typing import Any, Protocol

_forkserver = multiprocessing.get_context("forkserver")
# The forkserver imports these modules once, so that a new decoder is a fork that has all it needs.
_forkserver.set_forkserver_preload(["app.workers.decoder_child", "app.workers.forkserver"])


class Running(Protocol):
    """A process that was started.

    Attributes:
        pid: its process id; 0 if it is not known yet.
    """

    pid: int

    def kill(self) -> None:
        """Kill the process."""

    async def ended(self) -> int:
        """Wait for the end of the process and return its exit code; -N if signal N ended it."""


class ChildProcess:
    """A process that holds the other end of a pipe; it is killed, never asked to end.

    Attributes:
        connection: the server's end of the pipe. Its end tells of a crash at once.
        lost: whether the process is given up.
        lost_by: the reason; "crash" unless `lose` names another one.
    """

    def __init__(
        self,
        start: Callable[[Connection], Running],
        on_readable: Callable[[], None],
        on_lost: Callable[[], None],
    ) -> None:
        self.lost = False
        self.lost_by = "crash"
        self._on_readable = on_readable
        self._on_lost = on_lost
        self.connection, child_end = multiprocessing.Pipe()
        with child_end:
            self._process = start(child_end)
        asyncio.get_running_loop().add_reader(self.connection.fileno(), self._readable)
        # uvloop has made the pipe non-blocking, but a large message arrives in two pieces and
        # `recv` has to wait for the second.
        os.set_blocking(self.connection.fileno(), True)

    @property
    def pid(self) -> int:
        """The process id; 0 if it is not known yet."""
        return self._process.pid

    def lose(self, reason: str) -> None:
        """Give up the process and kill it; a second call does nothing."""
        if self.lost:
            return
        self.lost, self.lost_by = True, reason
        asyncio.get_running_loop().remove_reader(self.connection.fileno())
        self.connection.close()
        self._process.kill()
        self._on_lost()

    async def ended(self) -> int:
        """Wait for the end of a lost process, so that no zombie is left; return its exit code."""
        return await self._process.ended()

    def _readable(self) -> None:
        try:
            self._on_readable()
        except (EOFError, OSError):
            self.lose("crash")


class ForkserverProcess:
    """A fork of the forkserver that runs `target(*arguments)`; see `Running`."""

    def __init__(self, target: Callable[..., None], *arguments: Any) -> None:  # noqa: ANN401
        _wake_forkserver()
        self._process = _forkserver.Process(target=target, args=arguments, daemon=True)
        self._process.start()
        self.pid = self._process.pid or 0

    def kill(self) -> None:
        """Kill the process."""
        self._process.kill()

    async def ended(self) -> int:
        """Wait for the end of the process and return its exit code."""
        loop, over = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._process.sentinel, over.set)
        try:
            await over.wait()
        finally:
            loop.remove_reader(self._process.sentinel)
        # The end is there already, so this does not wait. A thread must not do it: each start of a
        # process asks for the ends of others too, and whoever comes second misses the exit code.
        self._process.join()
        code = self._process.exitcode
        self._process.close()
        return 0 if code is None else code


def _wake_forkserver() -> None:
    """Let the forkserver go on if somebody has stopped it.

    The start of a process waits for its answer, and with it the event loop.
    """
    # Python has no public name for it. It is a child of this process, so its id is not used again.
    if pid := getattr(forkserver._forkserver, "_forkserver_pid", None):  # noqa: SLF001
        os.kill(pid, signal.SIGCONT)
