"""The server's side of one decoder process: it feeds, watches and sometimes kills the process."""

import asyncio
import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.heap import BufferWrapper
from pathlib import Path
from typing import Any

from app.errors import (
    BrokenImage,
    CostlyImage,
    EmptyFile,
    ServiceError,
    TooManyPixels,
    UnsupportedImage,
)
from app.images.formats import FORMATS, Format
from app.workers.decoder_child import DecoderConfig, decode_uploads
from app.workers.process import ChildProcess, ForkserverProcess
from app.workers.slots import PixelSlots, Slot

_ERRORS = {
    error.code: error
    for error in (BrokenImage, CostlyImage, EmptyFile, TooManyPixels, UnsupportedImage)
}
# A decoder that gets no CPU at all for this long has been stopped or waits for ever. A limit of
# wall-clock time would hit a decoder that others keep from the CPU.
_HANG_S = 1.0
_MAX_DETAIL = 300  # characters of an error's text
_SLOW_NICE = 15
_STARVED_NS = 300_000_000


@dataclass(frozen=True)
class Decoded:
    """A decoded photo, whose pixels lie in a slot.

    Attributes:
        width, height: size of the upload in pixels, upright.
        format: the format as the content shows it.
        seconds: how long the decoder worked.
    """

    width: int
    height: int
    format: Format
    seconds: float


Outcome = Decoded | ServiceError


class Decoder:
    """One decoder process. It decodes one upload at a time.

    Attributes:
        process: the process; see `ChildProcess.lost`.
        ready: done when the process can decode; an exception if it cannot start.
        slow: whether it has worked on its upload for so long that others should not wait for it.
    """

    def __init__(
        self,
        config: DecoderConfig,
        slots: PixelSlots,
        upload_bytes: int,
        on_outcome: Callable[["Decoder", Outcome], None],
        on_lost: Callable[["Decoder"], None],
    ) -> None:
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.slow = False
        self._on_outcome = on_outcome
        self._timer: asyncio.TimerHandle | None = None
        self._cpu_ns = self._cpu_ns_when_slow = 0
        # As with the slots, memory that no upload has touched costs nothing.
        self._memory = memory = BufferWrapper(upload_bytes)
        self._upload = memory.create_memoryview()
        self.process = ChildProcess(
            lambda end: ForkserverProcess(decode_uploads, end, memory, slots.memory, config),
            self._receive,
            lambda: on_lost(self),
        )

    def start(self, upload: bytes, slot: Slot) -> None:
        """Begin with an upload; `on_outcome` or `on_lost` is called when it is over."""
        self._upload[: len(upload)] = upload
        self._timer = asyncio.get_running_loop().call_later(_HANG_S, self._check_progress)
        with suppress(OSError):  # the end of the pipe will be read as well
            self.process.connection.send_bytes(json.dumps([len(upload), slot.index]).encode())

    async def ended(self) -> int:
        """Wait for the end of the lost process, free the upload's memory, return the exit code.

        This object and its process refer to each other. If the garbage collector had to find that
        out, shared memory and its descriptors would pile up for minutes.
        """
        code = await self.process.ended()
        del self._upload, self._memory
        return code

    def yield_to_others(self) -> None:
        """Go on with the present upload at the lowest priority."""
        self.slow = True
        self._cpu_ns_when_slow = cpu_ns(self.process.pid)
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, self.process.pid, _SLOW_NICE)

    @property
    def starved(self) -> bool:
        """Whether it has got hardly any CPU since it yielded to others."""
        now = cpu_ns(self.process.pid)
        return bool(now) and now - self._cpu_ns_when_slow < _STARVED_NS

    def _receive(self) -> None:
        reply = self.process.connection.recv_bytes()
        if not self.ready.done():
            self.ready.set_result(None)
            return
        self._stop_timer()
        outcome = parsed(reply)
        if isinstance(outcome, CostlyImage):
            # The process has reached its limit of memory, so it is no use any more.
            self.process.lose("memory")
        else:
            self._on_outcome(self, outcome)

    def _check_progress(self) -> None:
        """Give the process up if it has got no CPU since the last look; else look again later."""
        before, self._cpu_ns = self._cpu_ns, cpu_ns(self.process.pid)
        if self.process.lost:
            return
        if self._cpu_ns and self._cpu_ns == before:
            self.process.lose("hang")
        else:
            self._timer = asyncio.get_running_loop().call_later(_HANG_S, self._check_progress)

    def _stop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()


def cpu_ns(pid: int) -> int:
    """Return how long the threads of a process have been on a CPU; 0 if that is not known."""
    try:
        threads = [*Path(f"/proc/{pid}/task").iterdir()]
        return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads)
    except (OSError, IndexError):
        return 0


def parsed(reply: bytes) -> Outcome:
    """Read a decoder's answer.

    Raises:
        OSError: the answer has another form, so the process is not to be trusted any more.
    """
    try:
        answer: Any = json.loads(reply)
        if code := answer.get("code"):
            return _ERRORS[code](str(answer.get("detail") or _ERRORS[code].title)[:_MAX_DETAIL])
        decoded = Decoded(
            int(answer["width"]), int(answer["height"]), answer["format"], float(answer["seconds"])
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise OSError("a decoder answers in another form") from error
    if decoded.format not in FORMATS or min(decoded.width, decoded.height) < 1:
        raise OSError("a decoder answers with impossible values")
    return decoded
