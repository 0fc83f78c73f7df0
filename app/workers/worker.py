"""The server's side of one worker process: it starts, feeds and, if need be, kills the process.

The photos of a batch lie in memory that both processes share, and the pipe carries only the
indices of their slots. Therefore sending never blocks the event loop, not even if the worker is
stopped. We tried a ready-made process pool and dropped it: it cannot say when a new process has
loaded its model, and it breaks for good when an idle process is killed.
"""

import asyncio
import resource
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from app.errors import StartupError, WorkerLost
from app.model.engine import Scores
from app.model.features import Question
from app.workers.messages import Answered, Inspect, Inspected, Ready
from app.workers.process import ChildProcess
from app.workers.slots import Slot
from app.workers.zygote import Zygote

# The first batch after such a pause is slow by itself: the caches are cold, and perhaps the kernel
# has to give memory back. It says nothing about batch sizes.
_PAUSE_S = 1.0


class WorkerProcess:
    """One child process with one loaded model; see `interfaces.Worker`.

    It calls `learn` with the photos and the cost of each batch that follows another one closely;
    see `messages.Answered`.

    Attributes:
        batches: the number of batches that the process has answered.
        bytes_at_start: `resident_bytes` right after the model was loaded.
        retiring: whether a successor serves already; then the process ends after its present batch.
        successor_wanted: set when the process is lost, or when it has served so long that the pool
            should replace it.
    """

    def __init__(
        self,
        zygote: Zygote,
        measured: int | None,
        batch_timeout_s: float,
        on_lost: Callable[["WorkerProcess"], None],
        learn: Callable[[int, float], None],
    ) -> None:
        self.batches = 0
        self.bytes_at_start = 0
        self.retiring = False
        self.successor_wanted = asyncio.Event()
        self._batch_timeout_s = batch_timeout_s
        self._learn = learn
        self._last = 0.0
        self._reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._process = ChildProcess(
            partial(zygote.fork, measured), self._receive, lambda: self._give_up(on_lost)
        )

    @property
    def pid(self) -> int:
        """The process id; 0 if it is not known yet."""
        return self._process.pid

    @property
    def lost(self) -> bool:
        """Whether the process is given up."""
        return self._process.lost

    @property
    def lost_by(self) -> str:
        """The reason: "crash", "hang", "canary", "recycle" or "stop"."""
        return self._process.lost_by

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

    async def answer(self, slots: Sequence[Slot]) -> Answered:
        """Return the answers to a batch of N photos.

        Raises:
            InferenceFailed: the network gave no valid answer.
            WorkerLost: the process died, or it took too long and was killed.
        """
        cold = time.monotonic() - self._last > _PAUSE_S
        answered: Answered = await self._asked([slot.index for slot in slots])
        self._last = time.monotonic()
        if not cold:
            self._learn(len(slots), answered.cost_s)
        return answered

    async def infer(self, slots: Sequence[Slot]) -> tuple[Scores, float]:
        """Return the scores (N, classes) and the seconds of `answer`."""
        answered = await self.answer(slots)
        return answered.scores, answered.seconds

    async def inspect(self, slot: Slot, question: Question) -> Inspected:
        """Return the answer to a question about one photo.

        Raises:
            ServiceError: the network has no such answer, or as in `answer`.
        """
        inspected: Inspected = await self._asked(Inspect(slot.index, question))
        return inspected

    async def _asked(self, message: list[int] | Inspect) -> Any:  # noqa: ANN401
        """Send a message to the process and return its reply."""
        if self.lost:
            raise WorkerLost
        try:
            self._process.connection.send(message)
        except OSError:
            # The process is dead, and the event loop was too busy to notice it before.
            self.lose("crash")
            raise WorkerLost from None
        self._reply = asyncio.get_running_loop().create_future()
        reply = await self._replied(self._batch_timeout_s)
        self.batches += 1
        return reply

    def resident_bytes(self) -> int:
        """Return the resident memory of the process in bytes; 0 if the system has no /proc."""
        try:
            pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        except (OSError, IndexError):
            return 0
        return pages * resource.getpagesize()

    def lose(self, reason: str) -> None:
        """Give up the process: kill it, fail the waiting call, and let the pool replace it."""
        self._process.lose(reason)

    async def stopped(self) -> None:
        """Wait until the process has ended, so that no zombie is left."""
        await self._process.ended()

    def _give_up(self, on_lost: Callable[["WorkerProcess"], None]) -> None:
        self.successor_wanted.set()
        if not self._reply.done():
            self._reply.set_exception(WorkerLost())
        on_lost(self)

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
        reply = self._process.connection.recv()
        if not self._reply.done():
            self._reply.set_result(reply)
