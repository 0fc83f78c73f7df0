"""The server's side of one worker process: it starts the process, uses it and may kill it.

A batch travels through memory that both processes share, and the pipe carries only its size.
Therefore sending never blocks the event loop, not even if the worker is stopped. The end of the
pipe shows a crash at once. Memory and pipe come from the standard library. We tried a ready-made
process pool and dropped it: it cannot say when a new process has loaded its model, and it breaks
for good when an idle process is killed.
"""

import asyncio
import ctypes
import multiprocessing
import os
import resource
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from app.errors import StartupError, WorkerLost
from app.images.preprocessing import Pixels
from app.model.engine import Scores
from app.workers.child import work
from app.workers.messages import Ready, WorkerConfig

# Paddle does not survive a fork.
_spawn = multiprocessing.get_context("spawn")


class WorkerProcess:
    """One child process with one loaded model; see `interfaces.Worker`.

    Attributes:
        lost: whether the process is given up.
        lost_by: the reason: "crash", "hang", "canary", "recycle" or "stop".
        batches: the number of batches that the process has answered.
        bytes_at_start: `resident_bytes` right after the model was loaded.
        retiring: whether a successor serves already; then the process ends after its present batch.
        successor_wanted: set when the process is lost, or when it has served so long that the pool
            should replace it.
    """

    def __init__(
        self,
        config: WorkerConfig,
        batch_timeout_s: float,
        on_lost: Callable[["WorkerProcess"], None],
    ) -> None:
        self.lost = False
        self.lost_by = "crash"
        self.batches = 0
        self.bytes_at_start = 0
        self.retiring = False
        self.successor_wanted = asyncio.Event()
        self._batch_timeout_s = batch_timeout_s
        self._on_lost = on_lost
        self._reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        memory = _spawn.RawArray(ctypes.c_uint8, int(np.prod(config.shape)))
        self._images = np.frombuffer(memoryview(memory), np.uint8).reshape(config.shape)
        self._connection, child_end = _spawn.Pipe()
        self._process = _spawn.Process(target=work, args=(child_end, memory, config), daemon=True)
        self._process.start()
        self._pid = self._process.pid
        child_end.close()
        asyncio.get_running_loop().add_reader(self._connection.fileno(), self._receive)
        # uvloop has made the pipe non-blocking, but a large reply arrives in two pieces and `recv`
        # has to wait for the second.
        os.set_blocking(self._connection.fileno(), True)

    async def loaded(self, timeout_s: float) -> Ready:
        """Return the worker's message that its model is loaded and warm.

        Raises:
            StartupError: the worker cannot load the model, or needs more than `timeout_s`.
        """
        try:
            loaded: Ready = await self._replied(timeout_s)
        except WorkerLost as error:
            raise StartupError(f"the worker was lost while it started: {self.lost_by}") from error
        self.bytes_at_start = self.resident_bytes()
        return loaded

    async def infer(self, images: Sequence[Pixels]) -> tuple[Scores, float]:
        """Return the scores (N, classes) and the seconds that the batch took.

        Raises:
            InferenceFailed: the network gave no valid answer.
            WorkerLost: the process died, or it took too long and was killed.
        """
        if self.lost:
            raise WorkerLost
        np.stack(images, out=self._images[: len(images)])
        try:
            self._connection.send(len(images))
        except OSError:
            # The process is dead, and the event loop was too busy to notice it before.
            self.lose("crash")
            raise WorkerLost from None
        self._reply = asyncio.get_running_loop().create_future()
        scores, seconds = await self._replied(self._batch_timeout_s)
        self.batches += 1
        return scores, seconds

    def resident_bytes(self) -> int:
        """Return the resident memory of the process in bytes; 0 if the system has no /proc."""
        try:
            pages = int(Path(f"/proc/{self._pid}/statm").read_text().split()[1])
        except (OSError, IndexError):
            return 0
        return pages * resource.getpagesize()

    def lose(self, reason: str) -> None:
        """Give up the process: kill it, fail the waiting call, and let the pool replace it."""
        if self.lost:
            return
        self.lost_by = reason
        self.lost = True
        self.successor_wanted.set()
        asyncio.get_running_loop().remove_reader(self._connection.fileno())
        self._connection.close()
        self._process.kill()
        if not self._reply.done():
            self._reply.set_exception(WorkerLost())
        self._on_lost(self)

    async def stopped(self) -> None:
        """Wait until the process has ended, so that no zombie is left, and free its resources.

        They are freed here because an error that this object raised refers to it by its traceback,
        and this object refers to the error. If the garbage collector had to resolve that cycle,
        pipes and shared memory would pile up for minutes.
        """
        await asyncio.to_thread(self._process.join)
        self._process.close()
        del self._images

    async def _replied(self, timeout_s: float) -> Any:  # noqa: ANN401  (any message of the process)
        try:
            async with asyncio.timeout(timeout_s):
                reply = await self._reply
        except TimeoutError:
            self.lose("hang")
            raise WorkerLost from None
        if isinstance(reply, Exception):
            raise reply
        return reply

    def _receive(self) -> None:
        try:
            reply = self._connection.recv()
        except (EOFError, OSError):
            self.lose("crash")
        else:
            if not self._reply.done():
                self._reply.set_result(reply)
