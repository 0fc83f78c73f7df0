"""One bundle with its workers and its queue, from its start until its last request is answered."""

import asyncio
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Self

from app.model.bundle import Bundle
from app.serving.batching import Batcher
from app.settings import Settings
from app.telemetry.metrics import Metrics
from app.workers.interfaces import Pool, PoolFactory


class RunningModel:
    """A started bundle. Requests hold on to it, so that an old one ends when they have ended."""

    def __init__(
        self,
        bundle: Bundle,
        pool: Pool,
        batcher: Batcher,
        running: AbstractAsyncContextManager[Pool],
    ) -> None:
        self.bundle = bundle
        self.pool = pool
        self.batcher = batcher
        self._running = running
        self._requests = 0
        self._unused = asyncio.Event()
        self._unused.set()

    def __str__(self) -> str:
        batches = ", ".join(f"{n}: {s * 1000:.1f}" for n, s in self.pool.batch_seconds.items())
        return (
            f"{self.bundle.name} {self.bundle.version}: {self.pool.classes} classes, "
            f"{self.pool.up} workers, batches up to {self.pool.max_batch_size}"
            + (f" (measured, ms by size: {batches})" if batches else "")
        )

    @classmethod
    async def start(
        cls, bundle: Bundle, settings: Settings, metrics: Metrics, pool_factory: PoolFactory
    ) -> Self:
        """Start its workers.

        Raises:
            StartupError: one of them cannot load the model or gives wrong golden answers.
        """
        running = pool_factory(bundle, settings, metrics)
        pool = await running.__aenter__()
        batcher = Batcher(pool, settings.max_wait_ms / 1000, metrics)
        return cls(bundle, pool, batcher, running)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep its workers until the block's end."""
        self._requests += 1
        self._unused.clear()
        try:
            yield
        finally:
            self._requests -= 1
            if not self._requests:
                self._unused.set()

    async def stop(self) -> None:
        """Wait for its last request, then stop its workers; cancelled, stop them at once."""
        try:
            await self._unused.wait()
        finally:
            await self._running.__aexit__(None, None, None)
