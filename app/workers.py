"""The processes that own the model: started, watched, killed when they hang, replaced when lost.

A batch travels through memory shared with its worker and the pipe carries only its size, so that
sending never blocks the event loop, not even on a stopped worker; the pipe's end tells of a crash
at once. Both are the standard library's. A ready-made process pool was tried and left: it cannot
say when a new process has its model, and breaks for good when an idle process is killed.
"""

import asyncio
import ctypes
import itertools
import logging
import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Self

import numpy as np

from app.batching import Pixels, Scores
from app.bundle import Bundle
from app.errors import InferenceFailed, ServiceError, StartupError, WorkerLost
from app.metrics import Metrics
from app.settings import Device, Settings

log = logging.getLogger(__name__)
_spawn = multiprocessing.get_context("spawn")  # Paddle does not survive a fork

_LONGEST_PAUSE_S = 30.0
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # glibc's malloc.h


@dataclass(frozen=True)
class Job:
    """What a worker process is told at its start."""

    bundle: Bundle
    device: Device
    threads: int
    max_batch_size: int

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(max_batch_size, H, W, 3), the shape of the shared memory."""
        width, height = self.bundle.preprocessing.crop
        return self.max_batch_size, height, width, 3

    @property
    def buckets(self) -> tuple[int, ...]:
        """The batch sizes that are warmed: powers of two, and the largest allowed."""
        powers = itertools.takewhile(lambda n: n < self.max_batch_size, (2**i for i in range(9)))
        return (*powers, self.max_batch_size)


class EngineWorker:
    """One child process with one loaded model, as the event loop sees it."""

    def __init__(self, job: Job, pool: "EnginePool") -> None:
        self.lost = asyncio.Event()
        self.lost_by = "crash"
        self._pool = pool
        self._reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        memory = _spawn.RawArray(ctypes.c_uint8, int(np.prod(job.shape)))
        self._images = np.frombuffer(memoryview(memory), np.uint8).reshape(job.shape)
        self._connection, theirs = _spawn.Pipe()
        self._process = _spawn.Process(target=_work, args=(theirs, memory, job), daemon=True)
        self._process.start()
        theirs.close()
        asyncio.get_running_loop().add_reader(self._connection.fileno(), self._receive)

    async def loaded(self, timeout_s: float) -> int:
        """Wait until the model is loaded and warm; return its class count.

        Raises:
            StartupError: it cannot be loaded, or not in time.
        """
        try:
            classes = await self._replied(timeout_s)
        except WorkerLost as error:
            raise StartupError(f"the worker was lost while it started: {self.lost_by}") from error
        return int(classes)

    async def infer(self, images: Sequence[Pixels]) -> tuple[Scores, float]:
        """Classify a batch; see `batching.Worker`.

        Raises:
            InferenceFailed: the network gave no valid answer.
            WorkerLost: the process died, or took too long and was killed.
        """
        if self.lost.is_set():
            raise WorkerLost
        np.stack(images, out=self._images[: len(images)])
        self._reply = asyncio.get_running_loop().create_future()
        self._connection.send(len(images))
        scores, seconds = await self._replied(self._pool.batch_timeout_s)
        return scores, seconds

    def release(self) -> None:
        """Be idle again."""
        self._pool.give_back(self)

    def lose(self, reason: str) -> None:
        """Give the process up: kill it, fail who waits for it, and let the pool replace it."""
        if self.lost.is_set():
            return
        self.lost_by = reason
        self.lost.set()
        asyncio.get_running_loop().remove_reader(self._connection.fileno())
        self._connection.close()
        self._process.kill()
        if not self._reply.done():
            self._reply.set_exception(WorkerLost())

    async def stopped(self) -> None:
        """Wait for the process's end, so that it leaves no zombie."""
        await asyncio.to_thread(self._process.join)

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


class EnginePool:
    """A fixed number of workers; a lost one is replaced. Used as an async context manager.

    Attributes:
        classes: of the network.
        up: workers that have their model.
        first_pause_s: after a failed start; it doubles with each further one.
        hopeless_after: failed starts in a row after which the service had better be restarted.
    """

    def __init__(self, bundle: Bundle, settings: Settings, metrics: Metrics) -> None:
        self.on_idle: Callable[[], None] = lambda: None
        self.classes = 0
        self.up = 0
        self.batch_timeout_s = settings.batch_timeout_s
        self.first_pause_s = 0.5
        self.hopeless_after = 5
        self._job = Job(
            bundle, settings.device, settings.threads_per_worker, settings.max_batch_size
        )
        self._size = settings.worker_count
        self._start_timeout_s = settings.start_timeout_s
        self._metrics = metrics
        self._failed_starts = 0
        self._alive: set[EngineWorker] = set()
        self._idle: deque[EngineWorker] = deque()
        self._places: list[asyncio.Task[None]] = []
        metrics.workers_up.set_function(lambda: self.up)

    async def __aenter__(self) -> Self:
        """Start all workers.

        Raises:
            StartupError: one of them cannot load the model.
        """
        workers = [self._spawn() for _ in range(self._size)]
        try:
            loads = [worker.loaded(self._start_timeout_s) for worker in workers]
            self.classes = max(await asyncio.gather(*loads))
        except BaseException:
            await self._stop()
            raise
        for worker in workers:
            self._welcome(worker)
            self._places.append(asyncio.create_task(self._keep_filled(worker)))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop all workers; nothing must be running on them any more."""
        await self._stop()

    @property
    def hopeless(self) -> bool:
        """Whether no worker is left and none has started for several attempts."""
        return self.up == 0 and self._failed_starts >= self.hopeless_after

    def take(self) -> EngineWorker | None:
        """Return an idle worker, None where none is."""
        while self._idle:
            worker = self._idle.popleft()
            if not worker.lost.is_set():
                return worker
        return None

    def give_back(self, worker: EngineWorker) -> None:
        """Make a worker idle again, unless it is lost."""
        if not worker.lost.is_set():
            self._idle.append(worker)
            self.on_idle()

    def _spawn(self) -> EngineWorker:
        worker = EngineWorker(self._job, self)
        self._alive.add(worker)
        return worker

    def _welcome(self, worker: EngineWorker) -> None:
        self.up += 1
        self.give_back(worker)

    async def _keep_filled(self, worker: EngineWorker) -> None:
        while True:
            await worker.lost.wait()
            self.up -= 1
            self._metrics.worker_restarts.labels(worker.lost_by).inc()
            log.error("a worker was lost (%s) and will be replaced", worker.lost_by)
            await self._bury(worker)
            worker = await self._replacement()
            self._welcome(worker)

    async def _replacement(self) -> EngineWorker:
        """Start a worker, again and again with growing pauses, until one has its model."""
        for attempt in itertools.count():
            worker = self._spawn()
            try:
                await worker.loaded(self._start_timeout_s)
            except (StartupError, ServiceError) as error:
                self._failed_starts += 1
                log.error("a worker did not start: %s", error)  # noqa: TRY400  (one line)
                worker.lose("crash")
                await self._bury(worker)
                await asyncio.sleep(min(_LONGEST_PAUSE_S, self.first_pause_s * 2**attempt))
            else:
                break
        self._failed_starts = 0
        return worker

    async def _bury(self, worker: EngineWorker) -> None:
        await worker.stopped()
        self._alive.discard(worker)

    async def _stop(self) -> None:
        for place in self._places:
            place.cancel()
        await asyncio.gather(*self._places, return_exceptions=True)
        self._idle.clear()
        for worker in list(self._alive):
            worker.lose("stop")
            await self._bury(worker)


def _work(connection: Connection, memory: Any, job: Job) -> None:  # noqa: ANN401  (ctypes array)
    """Serve batches in the child process until the parent closes the pipe."""
    _ignore_signals()
    _keep_freed_memory()
    from app.engine import Engine  # noqa: PLC0415  (Paddle is loaded here and nowhere else)

    _ignore_signals()  # again: Paddle has put its own handlers in their place
    images = np.frombuffer(memoryview(memory), np.uint8).reshape(job.shape)
    try:
        engine = Engine(job.bundle, job.device, job.threads)
        for bucket in job.buckets:
            engine.infer(images[:bucket])
    except StartupError as error:
        connection.send(error)
        return
    connection.send(engine.classes)
    while True:
        try:
            count = connection.recv()
        except EOFError:
            return
        # Rows beyond `count` hold older photos; what becomes of them is cut off.
        bucket = min(size for size in job.buckets if size >= count)
        started = time.perf_counter()
        try:
            scores = engine.infer(images[:bucket])[:count]
        except Exception:
            log.exception("a batch failed")
            connection.send(InferenceFailed())
        else:
            connection.send((scores, time.perf_counter() - started))


def _ignore_signals() -> None:
    """Let the parent alone decide when a worker ends, not a signal to the whole group."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _keep_freed_memory() -> None:
    """Let glibc reuse a batch's memory for the next one.

    By default it hands large blocks back to the kernel, and the page faults to get them again cost
    a third of the time of a batch of 8 or more.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none
    if mallopt:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**30)
