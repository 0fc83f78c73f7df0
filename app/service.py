"""What one running service is made of, and the way of one photo through it."""

import asyncio
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, Protocol

from fastapi import Depends, Request

from app.batching import Answer, Batcher, Pool
from app.bundle import Bundle
from app.door import Door
from app.errors import ClientClosed, DeadlineExceeded, InvalidRequest
from app.images import Photo, decode
from app.metrics import Metrics
from app.schemas import Classification, Model, Readiness, Timings, UploadedImage
from app.settings import Settings


class ModelPool(Pool, Protocol):
    """A pool of workers that know their model."""

    classes: int
    batch_seconds: Mapping[int, float]

    @property
    def hopeless(self) -> bool:
        """Whether only a restart of the service can help."""


class Service:
    """One service: its parts, held together without any module-level state."""

    def __init__(
        self, settings: Settings, bundle: Bundle, pool: ModelPool, metrics: Metrics
    ) -> None:
        self.settings = settings
        self.bundle = bundle
        self.pool = pool
        self.metrics = metrics
        self.batcher = Batcher(pool, settings.max_wait_ms / 1000, metrics)
        self.door = Door(
            pool, self.batcher.drain_rate, settings.capacity, settings.capacity_bytes, metrics
        )
        self.draining = False
        self._decoders = ThreadPoolExecutor(settings.decoder_count, "decode")
        metrics.ready.set_function(lambda: self.ready)

    def __str__(self) -> str:
        batches = ", ".join(f"{n}: {s * 1000:.1f}" for n, s in self.pool.batch_seconds.items())
        return (
            f"{self.bundle.name} {self.bundle.version}: {self.pool.classes} classes, "
            f"{self.pool.up} workers, {self.settings.engine} on {self.settings.device}, "
            f"batches up to {self.pool.max_batch_size}"
            + (f" (measured, ms by size: {batches})" if batches else "")
        )

    def close(self) -> None:
        """Decode no more; what is being decoded now is left to its end."""
        self._decoders.shutdown(wait=False, cancel_futures=True)

    @property
    def readiness(self) -> Readiness:
        """Whether photos are taken: a worker has its model, and the end has not begun."""
        if self.draining:
            return "draining"
        return "ready" if self.pool.up else "not_ready"

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
    ) -> Classification:
        """Say what is in the photo `data`.

        Args:
            data: the upload's bytes.
            top_k: how many classes to name; None for five.
            time_allowed_s: the caller's; the service's own is the bound.
            gone: done when the caller has hung up.

        Raises:
            ServiceError: one of its children says why there is no answer.
        """
        started = time.perf_counter()
        count = self._count(top_k)
        time_allowed_s = min(time_allowed_s, self.settings.deadline_s)
        with self.door.admit(time_allowed_s):
            deadline = asyncio.get_running_loop().time() + time_allowed_s
            photo = await self._decode(data)
            decoded = time.perf_counter()
            if gone.done():
                raise ClientClosed
            answer = await _first(self.batcher.submit(photo.pixels), gone, deadline)
        finished = time.perf_counter()
        seconds = {
            "decode": decoded - started,
            "queue": answer.queue_s,
            "inference": answer.inference_s,
            "total": finished - started,
        }
        self.metrics.observe_answer(answer.scores, seconds)
        return Classification(
            model=self.model,
            predictions=self.bundle.best(answer.scores, count),
            image=UploadedImage(width=photo.width, height=photo.height, format=photo.format),
            timings_ms=Timings(**{stage: round(s * 1000, 2) for stage, s in seconds.items()}),
        )

    @property
    def model(self) -> Model:
        """Name and version of the bundle."""
        return Model(name=self.bundle.name, version=self.bundle.version)

    def _count(self, top_k: int | None) -> int:
        classes = self.pool.classes
        if top_k is not None and top_k > classes:
            raise InvalidRequest(f"top_k must be between 1 and {classes}, the number of classes")
        return top_k or min(5, classes)

    async def _decode(self, data: bytes) -> Photo:
        loop = asyncio.get_running_loop()
        spec, most = self.bundle.preprocessing, self.settings.max_pixels
        return await loop.run_in_executor(self._decoders, decode, data, spec, most)


async def _first(
    answer: asyncio.Future[Answer], gone: asyncio.Future[None], deadline: float
) -> Answer:
    """Wait for the answer, the deadline or the caller's leaving, whichever is first."""
    try:
        left = max(0.0, deadline - asyncio.get_running_loop().time())
        either: set[asyncio.Future[Any]] = {answer, gone}
        await asyncio.wait(either, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        raise ClientClosed if gone.done() else DeadlineExceeded
    finally:
        answer.cancel()


async def get_service(request: Request) -> Service:
    """Return the service that this request came to."""
    service: Service = request.app.state.service
    return service


ServiceDep = Annotated[Service, Depends(get_service)]
