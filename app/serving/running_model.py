"""One bundle with its workers and its queue, from its start until its last request is answered."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Self

from app.errors import Overloaded
from app.model.bundle import Bundle
from app.model.paddle_graph import vector_length
from app.serving.batching import Batcher
from app.settings import Settings
from app.telemetry.answers import AnswersByClass
from app.telemetry.metrics import Metrics
from app.workers.decoders import DecoderPool
from app.workers.interfaces import Pool, PoolFactory
from app.workers.slots import Slot


class RunningModel:
    """A started bundle. It counts its requests, because `stop` waits for the last of them.

    Attributes:
        answers: counts the answers by class; None until the model serves.
        vector_length: the length of the vector before the classifier; None if there is none.
    """

    def __init__(
        self,
        bundle: Bundle,
        pool: Pool,
        decoders: DecoderPool,
        batcher: Batcher,
        processes: AsyncExitStack,
    ) -> None:
        self.bundle = bundle
        self.pool = pool
        self.decoders = decoders
        self.batcher = batcher
        self.answers: AnswersByClass | None = None
        self.vector_length: int | None = None
        self._processes = processes
        self._requests = 0
        self._unused = asyncio.Event()
        self._unused.set()

    def __str__(self) -> str:
        cap = self.pool.batch_cap
        batches = ", ".join(f"{n}: {s * 1000:.1f}" for n, s in cap.seconds.items())
        return (
            f"{self.bundle.name} {self.bundle.version}: {self.pool.classes} classes, "
            f"{self.pool.up} workers, batches up to {cap.size}"
            + (f" (measured, ms by size: {batches})" if batches else "")
        )

    @classmethod
    async def start(
        cls, bundle: Bundle, settings: Settings, metrics: Metrics, pool_factory: PoolFactory
    ) -> Self:
        """Start the workers and the decoders of `bundle`, and return the running model.

        Raises:
            StartupError: a worker cannot load the model or gives wrong golden answers, or a
                decoder cannot start.
        """
        async with AsyncExitStack() as processes:
            pool = await processes.enter_async_context(pool_factory(bundle, settings, metrics))
            decoders = await processes.enter_async_context(
                DecoderPool(bundle.preprocessing, pool.slots, settings, metrics)
            )
            batcher = Batcher(pool, settings.max_wait_ms / 1000, metrics)
            model = cls(bundle, pool, decoders, batcher, processes.pop_all())
        model.vector_length = await asyncio.to_thread(vector_length, bundle.graph)
        return model

    @contextmanager
    def slot(self) -> Iterator[Slot]:
        """Hold room for the pixels of one photo until the block ends.

        Raises:
            Overloaded: photos that nobody waits for any more still take all the room.
        """
        slot = self.pool.slots.take()
        if slot is None:
            raise Overloaded(retry_after_s=1)
        try:
            yield slot
        finally:
            slot.release()

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep the processes running until the block ends."""
        self._requests += 1
        self._unused.clear()
        try:
            yield
        finally:
            self._requests -= 1
            if not self._requests:
                self._unused.set()

    async def stop(self) -> None:
        """Stop the processes after the last request, or at once if the wait is cancelled."""
        try:
            await self._unused.wait()
        finally:
            await self._processes.aclose()
