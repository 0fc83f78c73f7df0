"""The pool of decoders: each upload goes to an idle one, and a lost one is replaced at once.

State changes only in plain functions, between two awaits, so no cancellation can land in them.
"""

import asyncio
import itertools
import logging
import signal
from collections.abc import Coroutine
from typing import Any, Self

from app.errors import CostlyImage, StartupError
from app.images.preprocessing import Preprocessing
from app.settings import Settings
from app.telemetry.metrics import Metrics
from app.workers.decoder import Decoded, Decoder, Outcome
from app.workers.decoder_child import DecoderConfig
from app.workers.slots import PixelSlots, Slot
from app.workers.throughput import Throughput
from app.workers.uploads import Upload, UploadQueue

log = logging.getLogger(__name__)

_START_TIMEOUT_S = 30.0
_FIRST_PAUSE_S, _MAX_PAUSE_S = 0.1, 10.0
# A decoder that has worked on one upload for longer goes on at a lower priority, and another
# decoder serves those who wait.
_SLOW_S = 0.3
# If slow uploads have all decoders while others wait, those are given up that were found slow so
# many times. They may be honest, but many of them at once are an attack.
_PATIENT_CHECKS = 3
# So many decoders may begin with an upload. One that is killed from outside, as by the kernel when
# memory is short, or gets no CPU need not be the upload's fault.
_MAX_TRIES = 3
# The exit codes of a process that was killed from outside; the second one stands for an unknown
# code, which was lost with the forkserver.
_KILLED = {-signal.SIGKILL, 255}
# For each reason of a decoder's end, what the sender of its upload is told.
_DETAILS = {
    "crash": "The decoder crashed on the image",
    "hang": "Decoding the image took too long",
    "memory": "Decoding the image needs too much memory",
    "starved": "Decoding the image took too long",
    "time": "Decoding the image took too long",
}


class DecoderPool:
    """Keeps a number of decoders running. Used as an async context manager.

    Attributes:
        rate: photos per second that the decoders finish.
        slots: the shared memory that they write to.
        failing: whether no decoder is left and at least two starts in a row have failed.
    """

    def __init__(
        self, spec: Preprocessing, slots: PixelSlots, settings: Settings, metrics: Metrics
    ) -> None:
        self.slots = slots
        self._count = count = settings.decoder_count
        self.rate = Throughput(lambda: count)
        self._config = DecoderConfig(
            spec, settings.max_pixels, settings.decode_timeout_s, slots.shape
        )
        self._upload_bytes = settings.max_upload_bytes
        self._metrics = metrics
        self._failed_starts = 0
        self._ready = False
        self._stopping = False
        self._queue = UploadQueue()
        self._decoders: set[Decoder] = set()
        self._idle: list[Decoder] = []
        self._busy: dict[Decoder, Upload] = {}
        self._reaping: set[asyncio.Task[None]] = set()
        self._replacing: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        """Start all decoders.

        Raises:
            StartupError: a decoder cannot start.
        """
        try:
            decoders = [self._start() for _ in range(self._count)]
            async with asyncio.timeout(_START_TIMEOUT_S):
                await asyncio.gather(*(decoder.ready for decoder in decoders))
        except (OSError, TimeoutError) as error:
            await self._stop()
            raise StartupError("a decoder cannot start") from error
        except BaseException:
            await self._stop()
            raise
        # One may be lost again while the pool waits for the others.
        self._idle += [decoder for decoder in decoders if not decoder.process.lost]
        self._ready = True
        self._replenish()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop all decoders. Uploads that still wait are never decoded."""
        await self._stop()

    @property
    def up(self) -> int:
        """The number of decoders that can decode or do so now."""
        return len(self._idle) + len(self._busy)

    @property
    def failing(self) -> bool:
        """Whether no decoder is left and at least two starts in a row have failed."""
        return self.up == 0 and self._failed_starts > 1

    @property
    def pids(self) -> list[int]:
        """The process ids of all decoders."""
        return [decoder.process.pid for decoder in self._decoders]

    def submit(self, data: bytes, slot: Slot) -> asyncio.Future[Decoded]:
        """Queue an upload whose pixels shall go to `slot`; cancelling the future takes it out.

        The future raises a ServiceError if the upload cannot be decoded.
        """
        upload = self._queue.add(data, slot)
        self._dispatch()
        return upload.future

    def _dispatch(self) -> None:
        """Give each idle decoder an upload. Never awaits."""
        while self._idle and (upload := self._queue.take()):
            decoder = self._idle.pop()
            self._busy[decoder] = upload
            upload.tries += 1
            decoder.start(upload.data, upload.slot)
            self._check_later(decoder, upload, 1)

    def _check_later(self, decoder: Decoder, upload: Upload, check: int) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(_SLOW_S, self._check_slow, decoder, upload, check)

    def _check_slow(self, decoder: Decoder, upload: Upload, check: int) -> None:
        """Let one slow upload keep no other upload waiting, again and again until it is over."""
        if self._busy.get(decoder) is not upload:
            return
        if upload.future.done():
            # At its low priority, the decoder could go on for minutes beside busy ones.
            decoder.process.lose("unwanted")
            return
        if check > _PATIENT_CHECKS and self._blocked:
            decoder.process.lose("starved" if decoder.starved else "time")
            return
        if not decoder.slow:
            decoder.yield_to_others()
            self._replenish()
        self._check_later(decoder, upload, check + 1)

    @property
    def _blocked(self) -> bool:
        """Whether uploads wait while slow ones have all decoders, and no more may be started."""
        all_slow = all(decoder.slow for decoder in self._decoders)
        return bool(self._queue) and all_slow and len(self._decoders) >= 2 * self._count

    def _replenish(self) -> None:
        """Start as many decoders as are missing, beside slow ones up to twice the usual number."""
        quick = sum(not decoder.slow for decoder in (*self._idle, *self._busy))
        missing = self._count - quick - len(self._replacing)
        room = 2 * self._count - len(self._decoders)
        for _ in range(0 if self._stopping else min(missing, room)):
            _keep(self._replacing, self._replace())

    def _on_outcome(self, decoder: Decoder, outcome: Outcome) -> None:
        upload = self._busy.pop(decoder)
        if isinstance(outcome, Decoded):
            self.rate.learn(outcome.seconds)
        upload.finish(outcome)
        if decoder.slow:
            # Only root could give the process its priority back.
            decoder.process.lose("slow")
        else:
            self._idle.append(decoder)
        self._dispatch()

    def _on_lost(self, decoder: Decoder) -> None:
        self._decoders.discard(decoder)
        upload = self._busy.pop(decoder, None)
        if decoder in self._idle:
            self._idle.remove(decoder)
        if not decoder.ready.done():
            decoder.ready.set_exception(OSError("the process ended while it started"))
        _keep(self._reaping, self._reap(decoder, upload))
        # A decoder that was lost while it started is replaced by whoever waits for it.
        if self._ready:
            self._replenish()

    async def _reap(self, decoder: Decoder, upload: Upload | None) -> None:
        """Wait for the end of a lost process; then its slot may be used again."""
        code = await decoder.ended()
        reason = "time" if code == -signal.SIGPROF else decoder.process.lost_by
        if not self._stopping:
            self._metrics.decoder_restarts.labels(reason).inc()
        if upload is None:
            return
        innocent = reason in {"hang", "starved"} or (reason == "crash" and code in _KILLED)
        if innocent and upload.tries < _MAX_TRIES and not upload.future.done():
            self._queue.put_back(upload, first=reason != "starved")
            self._dispatch()
            return
        upload.finish(CostlyImage(_DETAILS.get(reason)))

    async def _replace(self) -> None:
        """Start a decoder; after a failed start, pause and try again."""
        for attempt in itertools.count():
            try:
                decoder = await self._started()
            except (OSError, TimeoutError) as error:
                self._failed_starts += 1
                log.error("a decoder did not start: %s", error)  # noqa: TRY400  (one line is enough)
                await asyncio.sleep(min(_MAX_PAUSE_S, _FIRST_PAUSE_S * 2**attempt))
            else:
                break
        self._failed_starts = 0
        self._idle.append(decoder)
        self._dispatch()

    async def _started(self) -> Decoder:
        decoder = self._start()
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                await decoder.ready
        except TimeoutError:
            decoder.process.lose("hang")
            raise
        return decoder

    def _start(self) -> Decoder:
        decoder = Decoder(
            self._config, self.slots, self._upload_bytes, self._on_outcome, self._on_lost
        )
        self._decoders.add(decoder)
        return decoder

    async def _stop(self) -> None:
        self._stopping = True
        for task in self._replacing:
            task.cancel()
        # All are given up before the first await, because a cancellation can arrive there.
        for decoder in [*self._decoders]:
            decoder.process.lose("stop")
        await asyncio.gather(*self._replacing, return_exceptions=True)
        await asyncio.gather(*self._reaping)


def _keep(tasks: set[asyncio.Task[None]], work: Coroutine[Any, Any, None]) -> None:
    """Start a task, and refer to it until it is done, so that it is not garbage."""
    task = asyncio.create_task(work)
    tasks.add(task)
    task.add_done_callback(tasks.discard)
