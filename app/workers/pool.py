"""The pool of workers: it starts all of them at once and replaces each one that is lost."""

import asyncio
import itertools
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Self

from prometheus_client import Gauge

from app.errors import StartupError
from app.model.bundle import Bundle
from app.settings import PREFIX, Settings
from app.telemetry.metrics import Metrics
from app.workers.batch_cap import BatchCap
from app.workers.batch_size import quickest
from app.workers.canary import send_canaries
from app.workers.interfaces import Worker
from app.workers.messages import Ready, WorkerConfig
from app.workers.slots import PixelSlots
from app.workers.trials import try_batch_sizes
from app.workers.worker import WorkerProcess
from app.workers.zygote import Zygote

log = logging.getLogger(__name__)

_MAX_PAUSE_S = 30.0


class WorkerPool:
    """Keeps a number of workers running; see `interfaces.Pool`. It is an async context manager.

    Attributes:
        classes: the number of classes of the network.
        batch_cap: the largest batch: fixed by the setting, or learned.
        slots: the shared memory from which the workers read photos.
        first_pause_s: the pause after a failed start; the pause doubles with each further failure.
        hopeless_after: after so many failed starts in a row, the pool counts as hopeless.
    """

    def __init__(self, bundle: Bundle, settings: Settings, metrics: Metrics) -> None:
        self.on_idle: Callable[[], None] = lambda: None
        self.classes = 0
        self.slots = PixelSlots(settings.slots, bundle.preprocessing.crop)
        self.first_pause_s = 0.5
        self.hopeless_after = 5
        self._settings = settings
        self._metrics = metrics
        self._config = WorkerConfig(
            bundle,
            settings.engine,
            settings.device,
            settings.threads_per_worker,
            settings.max_batch_size,
            None,
            settings.batch_budget_s,
            settings.slots,
            settings.log_level,
            settings.log_format,
        )
        self.batch_cap = BatchCap(
            settings.max_batch_size or 1, self._config.buckets, settings.batch_budget_s
        )
        self._zygote = Zygote(self._config, self.slots)
        self._failed_starts = 0
        self._started: set[WorkerProcess] = set()
        self._serving: set[WorkerProcess] = set()
        self._idle: deque[WorkerProcess] = deque()
        self._supervisors: list[asyncio.Task[None]] = []
        self._checks: list[asyncio.Task[None]] = []
        self._reaping: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        """Start all workers.

        Raises:
            StartupError: a worker cannot load the model.
        """
        workers = [self._start() for _ in range(self._settings.worker_count)]
        try:
            loads = [worker.loaded(self._settings.start_timeout_s) for worker in workers]
            self._adopt_batch_size(await asyncio.gather(*loads))
            self._check_memory_limit(workers)
        except BaseException:
            await self._stop()
            raise
        for worker in workers:
            self._add_ready(worker)
            self._supervise(worker)
        canaries = send_canaries(
            self, self._config, self._settings.canary_interval_s, self._metrics
        )
        self._checks.append(asyncio.create_task(canaries))
        if self._config.max_batch_size is None:
            self._checks.append(asyncio.create_task(try_batch_sizes(self, self.batch_cap)))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop all workers. No batch may be running any more."""
        await self._stop()

    @property
    def up(self) -> int:
        """The number of workers that have loaded their model."""
        return len(self._serving)

    @property
    def pids(self) -> list[int]:
        """The process ids of the workers."""
        return [worker.pid for worker in self._started if worker.pid]

    @property
    def failing(self) -> bool:
        """Whether no worker is left and at least two starts in a row have failed."""
        return self.up == 0 and self._failed_starts > 1

    @property
    def hopeless(self) -> bool:
        """Whether no worker is left and at least `hopeless_after` starts in a row have failed."""
        return self.up == 0 and self._failed_starts >= self.hopeless_after

    def take(self) -> WorkerProcess | None:
        """Return an idle worker, or None if there is none."""
        while self._idle:
            worker = self._idle.popleft()
            if not worker.lost:
                return worker
        return None

    def grow(self, workers: int) -> None:
        """Keep `workers` workers from now on; the new ones start beside the others."""
        for _ in range(len(self._supervisors), workers):
            self._supervise(None)

    def padding(self, count: int) -> int:
        """Return how many rows of padding a batch of `count` images gets."""
        return self._config.bucket(count) - count

    def give_back(self, worker: Worker) -> None:
        """Make a worker that `take` returned idle again, unless it is lost or has a successor."""
        assert isinstance(worker, WorkerProcess)  # noqa: S101  (`take` returns no other class)
        if worker.lost:
            return
        if worker.retiring:
            worker.lose("recycle")
            return
        if self._has_served_long(worker):
            worker.successor_wanted.set()
        self._idle.append(worker)

    def _has_served_long(self, worker: WorkerProcess) -> bool:
        max_batches = self._settings.recycle_after_batches
        max_bytes = self._settings.recycle_above_bytes
        return bool(
            (max_batches and worker.batches >= max_batches)
            or (max_bytes and worker.bytes_at_start <= max_bytes < worker.resident_bytes())
        )

    def _check_memory_limit(self, workers: Sequence[WorkerProcess]) -> None:
        """Warn if the limit has no effect, because a new worker already needs more memory."""
        max_bytes = self._settings.recycle_above_bytes
        needed = max(worker.bytes_at_start for worker in workers)
        if max_bytes and max_bytes < needed:
            log.warning(
                "%sRECYCLE_ABOVE_BYTES has no effect, set it higher: a new worker holds %d bytes",
                PREFIX,
                needed,
            )

    def _adopt_batch_size(self, loaded: Sequence[Ready]) -> None:
        """Adopt the number of classes, and the batch size that is best for all workers together.

        All workers have the same doubt about the bundle, so the log has it once.
        """
        self.classes = loaded[0].classes
        if loaded[0].warning:
            log.warning("%s: %s", self._config.bundle.directory, loaded[0].warning)
        if self._config.max_batch_size is None:
            batch_seconds = quickest([ready.batch_seconds for ready in loaded])
            self.batch_cap.start(batch_seconds)
            # A replacement does not measure again, because it should be ready soon.
            self._config = replace(self._config, measured=max(batch_seconds))

    def _supervise(self, worker: WorkerProcess | None) -> None:
        """Keep one more worker from now on, at first this one; None starts one."""
        resident = self._metrics.worker_resident_bytes.labels(str(len(self._supervisors)))
        self._supervisors.append(asyncio.create_task(self._keep_one_worker(worker, resident)))

    async def _keep_one_worker(self, worker: WorkerProcess | None, resident: Gauge) -> None:
        """Replace the worker whenever it is lost or has served long."""
        worker = worker or await self._successor()
        while True:
            resident.set_function(worker.resident_bytes)
            await worker.successor_wanted.wait()
            successor = await self._successor()
            self._retire(worker)
            worker = successor

    async def _successor(self) -> WorkerProcess:
        """Return a new worker with a loaded model; after a failed start, pause and try again."""
        for attempt in itertools.count():
            try:
                worker = self._start()
                await worker.loaded(self._settings.start_timeout_s)
            except (StartupError, OSError) as error:
                self._failed_starts += 1
                log.error("a worker did not start: %s", error)  # noqa: TRY400  (one line is enough)
                await asyncio.sleep(min(_MAX_PAUSE_S, self.first_pause_s * 2**attempt))
            else:
                break
        self._failed_starts = 0
        self._add_ready(worker)
        return worker

    def _start(self) -> WorkerProcess:
        worker = WorkerProcess(
            self._zygote,
            self._config.measured,
            self._settings.batch_timeout_s,
            self._on_lost,
            lambda count, cost_s: self.batch_cap.learn(self._config.bucket(count), cost_s),
        )
        self._started.add(worker)
        return worker

    def _add_ready(self, worker: WorkerProcess) -> None:
        # A worker may be lost again while the pool waits for the others to load their model.
        if not worker.lost:
            self._serving.add(worker)
            self.give_back(worker)
            self.on_idle()

    def _retire(self, worker: WorkerProcess) -> None:
        worker.retiring = True
        if worker in self._idle:
            self._idle.remove(worker)
            worker.lose("recycle")

    def _on_lost(self, worker: WorkerProcess) -> None:
        if worker in self._serving and worker.lost_by != "stop":
            self._metrics.worker_restarts.labels(worker.lost_by).inc()
            log.warning("a worker ended (%s)", worker.lost_by)
        self._serving.discard(worker)
        reaping = asyncio.create_task(self._reap(worker))
        self._reaping.add(reaping)
        reaping.add_done_callback(self._reaping.discard)

    async def _reap(self, worker: WorkerProcess) -> None:
        await worker.stopped()
        self._started.discard(worker)

    async def _stop(self) -> None:
        tasks = [*self._supervisors, *self._checks]
        for task in tasks:
            task.cancel()
        # All workers are given up before the first await, because a cancellation can arrive there.
        for worker in self._started:
            worker.lose("stop")
        try:
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.gather(*self._reaping)
            await self._zygote.stop()
        finally:
            # A zygote that lived on after a cancellation would keep the server from ending.
            self._zygote.lose("stop")
