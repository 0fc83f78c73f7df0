"""All cores of one machine, with the decoders and workers of the server and without its ports."""

import asyncio
import itertools
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager
from typing import TypeVar

import uvloop

from app.bulk.records import Record, Wishes, answered, failed
from app.bulk.sources import contents
from app.errors import EmptyFile, FileTooLarge, ServiceError, StartupError, WorkerLost
from app.model.bundle import Bundle
from app.model.features import Question
from app.serving.batching import Answer
from app.serving.running_model import RunningModel
from app.settings import Settings
from app.telemetry.metrics import Metrics
from app.workers.pool import WorkerPool

T = TypeVar("T")
Keep = Callable[[Sequence[Record]], None]

# Photos are read, decoded and classified in groups of one batch. On a core, this size costs least
# for each photo. A large batch takes long, but nobody waits for a single photo.
_CPU_BATCH = 8
_BATCH_WAIT_MS = 500
# For each decoder, this many groups are read or wait to be read. More would only fill the memory.
_GROUPS_AHEAD = 2
# A photo whose worker is lost gets another one. The photo itself may have crashed it.
_TRIES = 3
# Up to this many times the groups in flight may wait behind one slow group.
_WINDOW = 4
_KEEP_S = 1.0
_WATCH_S = 1.0

Outcome = Answer | Exception


class Machine:
    """The running decoders and workers of one bundle."""

    def __init__(self, model: RunningModel, settings: Settings, wishes: Wishes) -> None:
        self._model = model
        self._settings = settings
        self._wishes = wishes
        self._question = Question("vector") if wishes.embeddings else None
        self._group = settings.max_batch_size or 1
        self._in_flight = max(1, settings.places // self._group)
        self._places = asyncio.Semaphore(self._in_flight)
        self._reading = asyncio.Semaphore(_GROUPS_AHEAD * settings.decoder_count)
        self._threads = ThreadPoolExecutor(_GROUPS_AHEAD * settings.decoder_count, "read")

    async def records(self, names: Iterable[str]) -> AsyncGenerator[list[Record]]:
        """Yield the records of photos in groups, in the order of `names`.

        Raises:
            StartupError: no worker or no decoder can be started any more.
        """
        watch = asyncio.create_task(self._watched())
        ahead: deque[asyncio.Task[list[Record]]] = deque()
        remaining = iter(names)
        groups = iter(lambda: list(itertools.islice(remaining, self._group)), [])
        try:
            while True:
                for group in itertools.islice(groups, _WINDOW * self._in_flight - len(ahead)):
                    ahead.append(asyncio.create_task(self._records(group)))
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
        model = self._model
        while not (model.pool.hopeless or model.decoders.failing):  # noqa: ASYNC110
            await asyncio.sleep(_WATCH_S)
        raise StartupError("no process that classifies can be started any more; the log says why")

    async def _records(self, names: Sequence[str]) -> list[Record]:
        outcomes: dict[str, Outcome] = {}
        async with self._places:
            again = names
            for _ in range(_TRIES):
                outcomes |= zip(again, await self._outcomes(again), strict=True)
                again = [name for name in names if isinstance(outcomes[name], WorkerLost)]
                if not again:
                    break
        return [self._record(name, outcomes[name]) for name in names]

    async def _outcomes(self, names: Sequence[str]) -> list[Outcome]:
        """Return the answer to each photo, or the error."""
        model = self._model
        with ExitStack() as held:
            slots = [held.enter_context(model.slot()) for _ in names]
            async with self._reading:
                loop, most = asyncio.get_running_loop(), self._settings.max_upload_bytes
                found = await loop.run_in_executor(self._threads, contents, names, most)
                checked = (_checked(data, most) for data in found)
                photos = await _each(
                    data if isinstance(data, Exception) else model.decoders.submit(data, slot)
                    for data, slot in zip(checked, slots, strict=True)
                )
            return await _each(
                photo
                if isinstance(photo, Exception)
                else model.batcher.submit(slot, self._question)
                for photo, slot in zip(photos, slots, strict=True)
            )

    def _record(self, name: str, outcome: Outcome) -> Record:
        if isinstance(outcome, ServiceError):
            return failed(name, outcome.code, str(outcome))
        if isinstance(outcome, Exception):
            words = (isinstance(outcome, OSError) and outcome.strerror) or str(outcome)
            return failed(name, "unreadable_file", f"The file cannot be read: {words}")
        best = self._model.bundle.post_process.answer(outcome.scores, self._wishes.top_k)
        vector = outcome.inspected.vector if outcome.inspected else None
        return answered(name, best, vector, outcome.unfamiliarity)


async def _each(steps: Iterable[asyncio.Future[T] | Exception]) -> list[T | Exception]:
    """Wait for futures, and return the result or the error of each; errors stay as they are."""
    all_steps = list(steps)
    waiting = [step for step in all_steps if not isinstance(step, Exception)]
    results = iter(await asyncio.gather(*waiting, return_exceptions=True))
    found = [step if isinstance(step, Exception) else next(results) for step in all_steps]
    for one in found:
        if isinstance(one, BaseException) and not isinstance(one, Exception):
            raise one
    return found  # type: ignore[return-value]  # the loop has raised all other errors


def _checked(data: bytes | Exception, most: int) -> bytes | Exception:
    """Return the bytes that a decoder gets, or why it gets none."""
    if isinstance(data, Exception):
        return data
    if not data:
        return EmptyFile("The file is empty")
    if len(data) > most:
        return FileTooLarge(f"The file has more than {most} bytes, CLASSIFIER_MAX_UPLOAD_BYTES")
    return data


def for_bulk(settings: Settings) -> Settings:
    """Return settings with which workers always get whole batches; what is set stays."""
    whole = {"max_wait_ms": _BATCH_WAIT_MS}
    if settings.device == "cpu":
        whole["max_batch_size"] = _CPU_BATCH
    chosen = settings.model_fields_set
    return settings.model_copy(update={k: v for k, v in whole.items() if k not in chosen})


@asynccontextmanager
async def running(bundle: Bundle, settings: Settings, wishes: Wishes) -> AsyncIterator[Machine]:
    """Start the decoders and workers of a bundle, and stop them at the end of the block.

    Raises:
        StartupError: a worker cannot load the bundle, or a decoder cannot start.
    """
    settings = for_bulk(settings)
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
            async for records in machine.records(names):
                block += records
                if time.monotonic() > due:
                    await asyncio.to_thread(keep, block)
                    block, due = [], time.monotonic() + _KEEP_S
            keep(block)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work())
