"""The workers together: all started at once, each replaced when it is lost."""

import asyncio
import itertools
import logging
import statistics
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Self

from app.bundle import Bundle
from app.child import Job, Loaded
from app.errors import ServiceError, StartupError
from app.metrics import Metrics
from app.settings import Settings
from app.workers import EngineWorker

log = logging.getLogger(__name__)

_LONGEST_PAUSE_S = 30.0
# A batch size this much slower for each photo than the best is as good: a smaller batch waits less.
_AS_GOOD = 1.05


class EnginePool:
    """A fixed number of workers; a lost one is replaced. Used as an async context manager.

    Attributes:
        classes: of the network.
        max_batch_size: as set, or as measured at the start.
        batch_seconds: {size: seconds} as measured; empty where the size was set.
        up: workers that have their model.
        first_pause_s: after a failed start; it doubles with each further one.
        hopeless_after: failed starts in a row after which the service had better be restarted.
    """

    def __init__(self, bundle: Bundle, settings: Settings, metrics: Metrics) -> None:
        self.on_idle: Callable[[], None] = lambda: None
        self.classes = 0
        self.max_batch_size = settings.max_batch_size or 1
        self.batch_seconds: Mapping[int, float] = {}
        self.up = 0
        self.first_pause_s = 0.5
        self.hopeless_after = 5
        self._job = Job(
            bundle,
            settings.device,
            settings.threads_per_worker,
            settings.max_batch_size,
            settings.batch_budget_s,
        )
        self._size = settings.worker_count
        self._batch_timeout_s = settings.batch_timeout_s
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
            self._settle(await asyncio.gather(*loads))
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

    def _settle(self, loaded: Sequence[Loaded]) -> None:
        """Take the class count, and the batch size that all workers together measured best."""
        self.classes = loaded[0].classes
        if self._job.max_batch_size is None:
            self.batch_seconds = _mean([one.batch_seconds for one in loaded])
            self.max_batch_size = best_batch_size(self.batch_seconds)
            # A replacement need not measure again: it is ready the sooner.
            self._job = replace(self._job, max_batch_size=self.max_batch_size)
        self._metrics.max_batch_size.set(self.max_batch_size)
        for size, seconds in self.batch_seconds.items():
            self._metrics.measured_batch.labels(str(size)).set(seconds)

    def _spawn(self) -> EngineWorker:
        worker = EngineWorker(self._job, self._batch_timeout_s, self.give_back)
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


def best_batch_size(batch_seconds: Mapping[int, float]) -> int:
    """Return the smallest size whose time for each photo is as good as the best."""
    each = {size: seconds / size for size, seconds in batch_seconds.items()}
    return min(size for size, seconds in each.items() if seconds <= _AS_GOOD * min(each.values()))


def _mean(curves: Sequence[Mapping[int, float]]) -> dict[int, float]:
    """Return the mean curve over the sizes that all have measured."""
    sizes = [size for size in curves[0] if all(size in curve for curve in curves)]
    return {size: statistics.fmean(curve[size] for curve in curves) for size in sizes}
