"""One worker process as the event loop sees it: started, asked, killed when it hangs.

A batch travels through memory shared with its worker and the pipe carries only its size, so that
sending never blocks the event loop, not even on a stopped worker; the pipe's end tells of a crash
at once. Both are the standard library's. A ready-made process pool was tried and left: it cannot
say when a new process has its model, and breaks for good when an idle process is killed.
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

_spawn = multiprocessing.get_context("spawn")  # Paddle does not survive a fork


class WorkerProcess:
    """One child process with one loaded model; see `batching.Worker`.

    Attributes:
        lost: the process is given up.
        lost_by: why: "crash", "hang", "canary", "recycle" or "stop".
        batches: answered so far.
        bytes_at_start: `resident_bytes` once the model was loaded.
        retiring: its successor serves; it ends with its present batch.
        successor_wanted: set when it is lost, or has served so long that it shall be replaced.
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
        self._connection, theirs = _spawn.Pipe()
        self._process = _spawn.Process(target=work, args=(theirs, memory, config), daemon=True)
        self._process.start()
        self._pid = self._process.pid
        theirs.close()
        asyncio.get_running_loop().add_reader(self._connection.fileno(), self._receive)
        # uvloop has made it non-blocking, but a large reply comes in two parts.
        os.set_blocking(self._connection.fileno(), True)

    async def loaded(self, timeout_s: float) -> Ready:
        """Wait until the model is loaded and warm.

        Raises:
            StartupError: it cannot be loaded, or not in time.
        """
        try:
            loaded: Ready = await self._replied(timeout_s)
        except WorkerLost as error:
            raise StartupError(f"the worker was lost while it started: {self.lost_by}") from error
        self.bytes_at_start = self.resident_bytes()
        return loaded

    async def infer(self, images: Sequence[Pixels]) -> tuple[Scores, float]:
        """Classify a batch; see `batching.Worker`.

        Raises:
            InferenceFailed: the network gave no valid answer.
            WorkerLost: the process died, or took too long and was killed.
        """
        if self.lost:
            raise WorkerLost
        np.stack(images, out=self._images[: len(images)])
        try:
            self._connection.send(len(images))
        except OSError:  # dead, and the loop was too busy to hear of it
            self.lose("crash")
            raise WorkerLost from None
        self._reply = asyncio.get_running_loop().create_future()
        scores, seconds = await self._replied(self._batch_timeout_s)
        self.batches += 1
        return scores, seconds

    def resident_bytes(self) -> int:
        """Return the memory that the process holds; 0 where the system does not say."""
        try:
            pages = int(Path(f"/proc/{self._pid}/statm").read_text().split()[1])
        except (OSError, IndexError):
            return 0
        return pages * resource.getpagesize()

    def lose(self, reason: str) -> None:
        """Give the process up: kill it, fail who waits for it, and let the pool replace it."""
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
        """Wait for the process's end, so that it leaves no zombie, and free what it held.

        An error that was raised in here refers to this worker by its traceback, and is referred
        to by it: left to the garbage collector, pipes and shared memory would pile up for minutes.
        """
        await asyncio.to_thread(self._process.join)
        self._process.close()
        del self._images

    async def _replied(self, timeout_s: float) -> Any:  # noqa: ANN401  (what the process sends)
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
