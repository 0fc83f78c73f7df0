"""All cores of one machine, with the decoders and workers of the server and without its ports."""

import asyncio
import itertools
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import uvloop

from app.bulk.records import Record, Wishes, answered, failed, refused
from app.bulk.sources import contents
from app.errors import EmptyFile, FileTooLarge, ServiceError, StartupError, WorkerLost
from app.model.bundle import Bundle
from app.model.features import Question
from app.serving.running_model import RunningModel
from app.settings import Settings
from app.telemetry.metrics import Metrics
from app.workers.pool import WorkerPool

Keep = Callable[[Sequence[Record]], None]

# Photos that are read or wait for a decoder, for each decoder. More would only fill the memory.
_READ_AHEAD = 4
# A photo whose worker is lost gets another one. The photo itself may have crashed it.
_TRIES = 3
# So many records, as a multiple of the photos in flight, may wait for a slow one before them.
_WINDOW = 4
_KEEP_S = 1.0
_WATCH_S = 1.0


class Machine:
    """The running decoders and workers of one bundle."""

    def __init__(self, model: RunningModel, settings: Settings, wishes: Wishes) -> None:
        self._model = model
        self._settings = settings
        self._wishes = wishes
        self._question = Question("vector") if wishes.embeddings else None
        self._places = asyncio.Semaphore(settings.places)
        self._reading = asyncio.Semaphore(_READ_AHEAD * settings.decoder_count)
        self._threads = ThreadPoolExecutor(_READ_AHEAD * settings.decoder_count, "read")

    async def records(self, names: Iterable[str]) -> AsyncIterator[Record]:
        """Yield the record of each photo, in the order of `names`.

        Raises:
            StartupError: no worker or no decoder can be started any more.
        """
        watch = asyncio.create_task(self._watched())
        ahead: deque[asyncio.Task[Record]] = deque()
        remaining = iter(names)
        try:
            while True:
                room = _WINDOW * self._settings.places - len(ahead)
                for name in itertools.islice(remaining, room):
                    ahead.append(asyncio.create_task(self._record(name)))
                if not ahead:
                    return
                await asyncio.wait({ahead[0], watch}, return_when=asyncio.FIRST_COMPLETED)
                if watch.done():
                    watch.result()
                while ahead and ahead[0].done():
                    yield ahead.popleft().result()
        finally:
            for task in (watch, *ahead):
                task.cancel()
            await asyncio.gather(watch, *ahead, return_exceptions=True)

    async def _watched(self) -> None:
        """Wait until the work cannot go on, and raise StartupError."""
        while not (self._model.pool.hopeless or self._model.decoders.failing):
            await asyncio.sleep(_WATCH_S)
        raise StartupError("the processes that classify cannot be started again; the log says why")

    async def _record(self, name: str) -> Record:
        async with self._places:
            for tries in itertools.count(1):
                try:
                    return await self._answer(name)
                except WorkerLost as error:
                    if tries == _TRIES:
                        return refused(name, error)
                except ServiceError as error:
                    return refused(name, error)
                except OSError as error:
                    words = error.strerror or str(error)
                    return failed(name, "unreadable_file", f"The file cannot be read: {words}")
        raise AssertionError  # the loop has no end

    async def _answer(self, name: str) -> Record:
        model = self._model
        with model.slot() as slot:
            async with self._reading:
                loop = asyncio.get_running_loop()
                most = self._settings.max_upload_bytes
                data = await loop.run_in_executor(self._threads, contents, name, most)
                if not data:
                    raise EmptyFile("The file is empty")
                if len(data) > most:
                    raise FileTooLarge(
                        f"The file has more than {most} bytes, CLASSIFIER_MAX_UPLOAD_BYTES"
                    )
                await model.decoders.submit(data, slot)
            answer = await model.batcher.submit(slot, self._question)
        predictions = model.bundle.post_process.answer(answer.scores, self._wishes.top_k)
        inspected = answer.inspected
        return answered(name, predictions, inspected.vector if inspected else None)


@asynccontextmanager
async def running(bundle: Bundle, settings: Settings, wishes: Wishes) -> AsyncIterator[Machine]:
    """Start the decoders and workers of a bundle, and stop them at the end of the block.

    Raises:
        StartupError: a worker cannot load the bundle, or a decoder cannot start.
    """
    model = await RunningModel.start(bundle, settings, Metrics(), WorkerPool)
    try:
        yield Machine(model, settings, wishes)
    finally:
        await model.stop()


def classify(
    names: Iterable[str], bundle: Bundle, settings: Settings, wishes: Wishes, keep: Keep
) -> None:
    """Classify photos, and give `keep` their records every second.

    Raises:
        StartupError: the decoders or workers cannot be started.
    """

    async def work() -> None:
        block: list[Record] = []
        due = time.monotonic() + _KEEP_S
        async with running(bundle, settings, wishes) as machine:
            async for record in machine.records(names):
                block.append(record)
                if time.monotonic() > due:
                    await asyncio.to_thread(keep, block)
                    block, due = [], time.monotonic() + _KEEP_S
            keep(block)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work())
