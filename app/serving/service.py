"""What one running service is made of, and the way of one photo through it."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from opentelemetry.trace import Tracer

from app.errors import (
    BundleError,
    ClientClosed,
    DeadlineExceeded,
    Draining,
    InvalidRequest,
    ReloadRefused,
    ReloadRunning,
    StartupError,
)
from app.images.decoding import Photo
from app.model.bundle import Bundle, Prediction, load_bundle
from app.serving.admission import Admission
from app.serving.batching import Answer
from app.serving.decoders import Decoders
from app.serving.running_model import RunningModel
from app.settings import Settings
from app.telemetry.metrics import Metrics
from app.telemetry.tracing import Stages
from app.workers.interfaces import Pool, PoolFactory

Readiness = Literal["ready", "not_ready", "draining"]


log = logging.getLogger(__name__)

Result = TypeVar("Result")


@dataclass(frozen=True)
class Classified:
    """The answer to one photo.

    Attributes:
        bundle: the one that answered.
        predictions: the likeliest class first.
        photo: the photo as it was decoded.
        seconds: spent in each stage: decode, queue, inference, and in total.
    """

    bundle: Bundle
    predictions: Sequence[Prediction]
    photo: Photo
    seconds: Mapping[str, float]


class Service:
    """One service: its parts, held together without any module-level state.

    Attributes:
        running: what answers now; `reload` puts another in its place.
        draining: the end has begun.
    """

    def __init__(
        self, settings: Settings, metrics: Metrics, pool_factory: PoolFactory, tracer: Tracer
    ) -> None:
        self.settings = settings
        self.metrics = metrics
        self.draining = False
        self.running: RunningModel
        self.admission = Admission(
            lambda: self.pool.failing, lambda: self.throughput, settings, metrics
        )
        self._pool_factory = pool_factory
        self._tracer = tracer
        self._reloading = asyncio.Lock()
        self._decoders = Decoders(settings.decoder_count, settings.max_pixels)
        metrics.workers.set(settings.worker_count)
        metrics.ready.set_function(lambda: self.ready)
        metrics.workers_up.set_function(lambda: self.pool.up)
        metrics.hopeless.set_function(lambda: self.pool.hopeless)
        metrics.throughput.set_function(lambda: self.throughput)
        metrics.queue_depth.set_function(lambda: self.running.batcher.waiting)

    @asynccontextmanager
    async def serving(self, bundle: Bundle) -> AsyncIterator[None]:
        """Serve `bundle` until the block's end.

        Raises:
            StartupError: a worker cannot load it.
        """
        self._take_over(await self._started(bundle, self.settings))
        try:
            yield
        finally:
            self._decoders.stop()
            await self.running.stop()

    async def reload(self) -> None:
        """Let the bundle that lies in the model directory now take over, and lose no request.

        It starts with one worker beside the old ones, for whose memory there may be no more room;
        the others follow when the old ones have ended.

        Raises:
            Draining: the end has begun, and nobody would stop the new one.
            ReloadRefused: it cannot be used; the old one serves on.
            ReloadRunning: a reload is going on already.
        """
        if self._reloading.locked():
            raise ReloadRunning
        async with self._reloading:
            if self.draining:
                raise Draining
            try:
                bundle = await asyncio.to_thread(load_bundle, self.settings.model_dir)
                first = self.settings.model_copy(update={"workers": 1})
                new = await self._started(bundle, first)
            except (BundleError, StartupError) as error:
                log.error("the new bundle is refused: %s", error)  # noqa: TRY400  (one line)
                raise ReloadRefused(str(error)) from error
            if self.draining:
                await new.stop()
                raise Draining
            old = self.running
            self._take_over(new)
            await old.stop()
            new.pool.grow(self.settings.worker_count)

    async def _started(self, bundle: Bundle, settings: Settings) -> RunningModel:
        return await RunningModel.start(bundle, settings, self.metrics, self._pool_factory)

    def _take_over(self, model: RunningModel) -> None:
        self.running = model
        self.metrics.model.info({"name": model.bundle.name, "version": model.bundle.version})
        self.metrics.observe_batch_sizes(model.pool.max_batch_size, model.pool.batch_seconds)
        log.info("serving %s, %s on %s", model, self.settings.engine, self.settings.device)

    @property
    def bundle(self) -> Bundle:
        """The bundle that answers now."""
        return self.running.bundle

    @property
    def pool(self) -> Pool:
        """Its workers."""
        return self.running.pool

    @property
    def readiness(self) -> Readiness:
        """Whether photos are taken: a worker has its model, and the end has not begun."""
        if self.draining:
            return "draining"
        return "ready" if self.pool.up else "not_ready"

    @property
    def throughput(self) -> float:
        """Photos a second that are finished now, by the slower stage; 0 while it is unknown."""
        return min(self._decoders.rate.per_s, self.running.batcher.rate.per_s)

    @property
    def ready(self) -> bool:
        """Whether photos are taken. Being full does not count: that is a 429."""
        return self.readiness == "ready"

    async def classify(
        self,
        data: bytes,
        top_k: int | None,
        time_allowed_s: float,
        gone: asyncio.Future[None],
    ) -> Classified:
        """Say what is in the photo `data`.

        Args:
            data: the upload's bytes.
            top_k: how many classes to name; None means five.
            time_allowed_s: how long the caller waits; the service's own deadline holds as well.
            gone: done when the caller has closed the connection.

        Raises:
            ServiceError: one of its subclasses says why there is no answer.
        """
        stages, started = Stages(self._tracer), time.perf_counter()
        running = self.running  # this photo stays with it, even if a reload puts another there
        count = _count(top_k, running.pool.classes)
        time_allowed_s = min(time_allowed_s, self.settings.deadline_s)
        with self.admission.admit(time_allowed_s), running.in_use():
            deadline = asyncio.get_running_loop().time() + time_allowed_s
            try:
                decoding = self._decoders.submit(data, running.bundle.preprocessing)
                photo = await _first(decoding, gone, deadline)
            finally:
                decoded = time.perf_counter()
                stages.add("decode", started, decoded)
            answer = await _first(running.batcher.submit(photo.pixels), gone, deadline)
        seconds = {
            "decode": decoded - started,
            "queue": answer.queue_s,
            "inference": answer.inference_s,
            "total": time.perf_counter() - started,
        }
        self.metrics.observe_answer(answer.scores, seconds)
        _add_answered(stages, decoded, answer)
        predictions = running.bundle.best(answer.scores, count)
        return Classified(running.bundle, predictions, photo, seconds)


def _count(top_k: int | None, classes: int) -> int:
    if top_k is not None and top_k > classes:
        raise InvalidRequest(f"top_k must be between 1 and {classes}, the number of classes")
    return top_k or min(5, classes)


def _add_answered(stages: Stages, queued: float, answer: Answer) -> None:
    taken = queued + answer.queue_s
    stages.add("queue", queued, taken)
    size = {"classifier.batch_size": answer.batch_size}
    stages.add("inference", taken, taken + answer.inference_s, size)


async def _first(
    result: asyncio.Future[Result], gone: asyncio.Future[None], deadline: float
) -> Result:
    """Wait for the result, the deadline or the caller's leaving, whichever is first."""
    try:
        left = max(0.0, deadline - asyncio.get_running_loop().time())
        either: set[asyncio.Future[Any]] = {result, gone}
        await asyncio.wait(either, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        if result.done():
            return result.result()
        raise ClientClosed if gone.done() else DeadlineExceeded
    finally:
        result.cancel()
