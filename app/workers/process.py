"""One child process and the pipe to it, as the event loop sees them."""

import asyncio
import os
from collections.abc import Callable
from multiprocessing.context import ForkServerContext, SpawnContext
from typing import Any


class ChildProcess:
    """A process that runs `target(connection, *arguments)`; it is killed, never asked to end.

    Attributes:
        connection: the server's end of the pipe. Its end tells of a crash at once.
        lost: whether the process is given up.
        lost_by: the reason; "crash" unless `lose` names another one.
        pid: of the process.
    """

    def __init__(
        self,
        context: SpawnContext | ForkServerContext,
        target: Callable[..., None],
        arguments: tuple[Any, ...],
        on_readable: Callable[[], None],
        on_lost: Callable[[], None],
    ) -> None:
        self.lost = False
        self.lost_by = "crash"
        self._on_readable = on_readable
        self._on_lost = on_lost
        self.connection, child_end = context.Pipe()
        self._process = context.Process(target=target, args=(child_end, *arguments), daemon=True)
        self._process.start()
        self.pid = self._process.pid or 0
        child_end.close()
        asyncio.get_running_loop().add_reader(self.connection.fileno(), self._readable)
        # uvloop has made the pipe non-blocking, but a large message arrives in two pieces and
        # `recv` has to wait for the second.
        os.set_blocking(self.connection.fileno(), True)

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
        """Wait for the end of a lost process, so that no zombie is left; return its exit code.

        The code is -N if signal N ended it.
        """
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

    def _readable(self) -> None:
        try:
            self._on_readable()
        except (EOFError, OSError):
            self.lose("crash")
