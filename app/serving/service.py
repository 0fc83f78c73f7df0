"""The components of one running service, and the steps of one photo through them."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from opentelemetry.trace import Tracer

from app.errors import (
    BundleError,
    Draining,
    InvalidRequest,
    ReloadRefused,
    ReloadRunning,
    StartupError,
)
from app.images.preprocessing import Pixels
from app.model.bundle import Bundle, load_bundle
from app.model.features import Question
from app.model.post_process import Prediction
from app.model.unfamiliarity import is_unfamiliar
from app.serving.admission import Admission, Turn
from app.serving.batching import Answer
from app.serving.door import Door
from app.serving.patience import Patience
from app.serving.running_model import RunningModel
from app.serving.shares import Shares
from app.settings import Settings
from app.telemetry.answers import AnswersByClass
from app.telemetry.metrics import Metrics
from app.telemetry.tracing import Stages
from app.workers.decoder import Decoded
from app.workers.interfaces import Pool, PoolFactory
from app.workers.messages import Inspected
from app.workers.slots import Slot

Readiness = Literal["ready", "not_ready", "draining"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Classified:
    """The answer to one photo.

    Attributes:
        bundle: the bundle that gave the answer.
        predictions: the classes, the likeliest first; none if none reaches its threshold.
        scores: (classes,), the scores of all classes in the order of the network's output.
        photo: the decoded photo.
        pixels: (H, W, 3), what the network saw; None unless the settings ask for pictures.
        seconds: {stage: seconds} for decode, queue, inference and total.
        inspected: the answer to the request's question, if it has one.
        unfamiliarity: from 0 to 1; None if the bundle cannot tell, or a question was asked.
    """

    bundle: Bundle
    predictions: Sequence[Prediction]
    scores: npt.NDArray[np.float32]
    photo: Decoded
    pixels: Pixels | None
    seconds: Mapping[str, float]
    inspected: Inspected | None = None
    unfamiliarity: float | None = None

    @property
    def unfamiliar(self) -> bool | None:
        """Whether the photo shows none of the model's classes; None if the bundle cannot tell."""
        return None if self.unfamiliarity is None else is_unfamiliar(self.unfamiliarity)


class Service:
    """One service with all its components, which need no module-level state.

    Attributes:
        running: the model that answers now; `reload` replaces it.
        draining: whether the shutdown has begun.
        tracer: makes the service's own spans.
    """

    def __init__(
        self, settings: Settings, metrics: Metrics, pool_factory: PoolFactory, tracer: Tracer
    ) -> None:
        self.settings = settings
        self.metrics = metrics
        self.draining = False
        self.running: RunningModel
        self.admission = Admission(
            lambda: self.failing,
            lambda: self.throughput,
            lambda: len(self.pool.slots.free),
            settings,
            metrics,
        )
        self.door = Door(self.admission, settings, metrics)
        self.shares = Shares(self.door, settings, metrics)
        self._pool_factory = pool_factory
        self.tracer = tracer
        self._reloading = asyncio.Lock()
        metrics.workers.set(settings.worker_count)
        metrics.ready.set_function(lambda: self.ready)
        metrics.workers_up.set_function(lambda: self.pool.up)
        metrics.decoders_up.set_function(lambda: self.running.decoders.up)
        metrics.hopeless.set_function(lambda: self.pool.hopeless)
        metrics.throughput.set_function(lambda: self.throughput)
        metrics.queue_depth.set_function(lambda: self.running.batcher.waiting)

    @asynccontextmanager
    async def serving(self, bundle: Bundle) -> AsyncIterator[None]:
        """Serve `bundle` until the block ends.

        Raises:
            StartupError: a worker cannot load the bundle or gives wrong golden answers.
        """
        self._take_over(await self._started(bundle, self.settings))
        try:
            yield
        finally:
            await self.running.stop()

    async def reload(self) -> None:
        """Switch to the bundle that is in the model directory now, without losing a request.

        The new bundle starts with one worker beside the old workers, because the machine may not
        have the memory for more. The other workers follow when the old ones have stopped.

        Raises:
            Draining: the shutdown has begun, so nothing would stop the new workers.
            ReloadRefused: the bundle cannot be used; the old one goes on serving.
            ReloadRunning: another reload is running already.
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
                self.metrics.reloads.labels("refused").inc()
                log.error("the new bundle is refused: %s", error)  # noqa: TRY400  (no traceback)
                raise ReloadRefused(str(error)) from error
            if self.draining:
                await new.stop()
                raise Draining
            old = self.running
            # Its last answers must not bring series back that the new model has not.
            old.answers = None
            self._take_over(new)
            self.metrics.reloads.labels("ok").inc()
            self.metrics.last_reload.set_to_current_time()
            await old.stop()
            # Once the shutdown has begun, nothing would stop further workers.
            if not self.draining:
                new.pool.grow(self.settings.worker_count)

    async def _started(self, bundle: Bundle, settings: Settings) -> RunningModel:
        return await RunningModel.start(bundle, settings, self.metrics, self._pool_factory)

    def _take_over(self, model: RunningModel) -> None:
        self.running = model
        model.pool.slots.on_free = self.admission.on_room
        self.metrics.model.info({"name": model.bundle.name, "version": model.bundle.version})
        self.metrics.answers.clear()
        model.answers = AnswersByClass(self.metrics.answers, model.pool.classes, model.bundle.label)
        log.info("serving %s, %s on %s", model, self.settings.engine, self.settings.device)

    @property
    def bundle(self) -> Bundle:
        """The bundle that answers now."""
        return self.running.bundle

    @property
    def pool(self) -> Pool:
        """The workers of the bundle that answers now."""
        return self.running.pool

    @property
    def readiness(self) -> Readiness:
        """The readiness state: ready if a worker has its model and the shutdown has not begun."""
        if self.draining:
            return "draining"
        return "ready" if self.pool.up else "not_ready"

    @property
    def failing(self) -> bool:
        """Whether no worker or no decoder is left, and new ones repeatedly fail to start."""
        return self.pool.failing or self.running.decoders.failing

    @property
    def throughput(self) -> float:
        """Photos per second that the slower stage, decode or inference, finishes; 0 if unknown."""
        return min(self.running.decoders.rate.per_s, self.running.batcher.rate.per_s)

    @property
    def ready(self) -> bool:
        """Whether photos are accepted. A service at full capacity is ready, and answers 429."""
        return self.readiness == "ready"

    def observe(self) -> None:
        """Bring those metrics up to date that are read only when Prometheus asks."""
        cap = self.pool.batch_cap
        self.metrics.observe_batch_sizes(cap.size, cap.seconds)
        self.metrics.worker_cpu.read(self.pool.pids)
        self.metrics.decoder_cpu.read(self.running.decoders.pids)

    async def classify(
        self,
        data: bytes,
        top_k: int | None,
        patience: Patience,
        turn: Turn | None = None,
        question: Question | None = None,
    ) -> Classified:
        """Return the classes that a photo most likely shows.

        Args:
            data: the upload's bytes.
            top_k: how many classes to return at most; None leaves it to the bundle.
            patience: how long the client waits; the service's deadline applies as well.
            turn: the photo's turn; without one, or if it has ended, the photo waits for another.
            question: what the answer has besides the classes.

        Raises:
            ServiceError: there is no answer; the subclass says why.
        """
        stages, started = Stages(self.tracer), time.perf_counter()
        allowed_s = min(patience.time_allowed_s, self.settings.deadline_s)
        async with patience.ending_in(allowed_s):
            if turn is None or not turn.alive:
                turn = await self.door.ask(
                    time_allowed_s=allowed_s, read=True, patient=patience.at_the_door
                )
            # The photo stays with this model, even if a reload replaces `self.running` meanwhile.
            running = self.running
            _check_count(top_k, running.pool.classes)
            _check_class(question, running.pool.classes)
            with self.admission.admit(turn), running.in_use(), running.slot() as slot:
                photo = await _decoded(running, data, slot, stages, started)
                answer = await _answered(running, question, slot, stages)
                # After this block, another photo may take the slot.
                pixels = slot.pixels.copy() if self.settings.paddlex_image else None
        seconds = {**stages.seconds, "total": time.perf_counter() - started}
        classified = Classified(
            running.bundle,
            running.bundle.post_process.answer(answer.scores, top_k),
            answer.scores,
            photo,
            pixels,
            seconds,
            answer.inspected,
            answer.unfamiliarity,
        )
        self._count(classified, len(data), running.answers)
        return classified

    def _count(self, answer: Classified, size: int, by_class: AnswersByClass | None) -> None:
        """Record an answered photo, whose file has `size` bytes, in the metrics."""
        photo, metrics = answer.photo, self.metrics
        metrics.observe_photo(size, photo.width * photo.height, photo.format)
        exclusive = answer.bundle.post_process.exclusive
        metrics.observe_answer(answer.scores, answer.seconds, exclusive)
        metrics.observe_unfamiliarity(answer.unfamiliarity, answer.unfamiliar)
        if by_class and answer.predictions:
            by_class.count(answer.predictions[0].class_id)


def _check_count(top_k: int | None, classes: int) -> None:
    if top_k is not None and top_k > classes:
        raise InvalidRequest(f"top_k must be between 1 and {classes}, the number of classes")


def _check_class(question: Question | None, classes: int) -> None:
    if question and question.class_id is not None and question.class_id >= classes:
        raise InvalidRequest(
            f"class_index must be between 0 and {classes - 1}, because the model has {classes} "
            "classes"
        )


async def _decoded(
    running: RunningModel, data: bytes, slot: Slot, stages: Stages, started: float
) -> Decoded:
    """Have the photo decoded into the slot. Its stage also has the wait before, from `started`."""
    try:
        return await running.decoders.submit(data, slot)
    finally:
        stages.add("decode", started, time.perf_counter())


async def _answered(
    running: RunningModel, question: Question | None, slot: Slot, stages: Stages
) -> Answer:
    """Have the network answer for the photo in the slot."""
    queued = time.perf_counter()
    answer = await running.batcher.submit(slot, question)
    started = queued + answer.queue_s
    stages.add("queue", queued, started)
    size = {"classifier.batch_size": answer.batch_size}
    stages.add("inference", started, started + answer.inference_s, size)
    return answer
