"""Admission control: how many photos, and how many bytes of uploads, the server takes at once."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from app.errors import NotReady, Overloaded
from app.serving.share import Place
from app.settings import Settings
from app.telemetry.metrics import Metrics

# However slow the machine seems, this share of the places stays in use. With fewer photos inside,
# workers would wait for decoders, and a wrong estimate of the throughput would never be corrected.
_LEAST_SHARE = 8
# Uploads that have been arriving for longer give way while the bytes are short.
_SLOW_UPLOAD_S = 1.0


class Turn:
    """The right of one request to send its photo and to get a permit for it.

    It ends when the photo gets its permit, when the request ends, or when the upload takes long:
    whoever sends slowly must not keep others out.

    Attributes:
        waited_s: seconds that the request waited for its turn.
        alive: whether the turn has not ended.
        place: the request's place in the share of its key, if keys have limits. It is held until
            the answer, so it does not end with the turn.
    """

    def __init__(self, waited_s: float, on_end: Callable[[], None]) -> None:
        self.waited_s = waited_s
        self.alive = True
        self.place: Place | None = None
        self._on_end = on_end

    def end(self) -> None:
        """Make room for another request. A second call does nothing."""
        if self.alive:
            self.alive = False
            self._on_end()


class Upload:
    """The bytes of one upload while they arrive, and until its answer.

    Attributes:
        started: when it began, by the event loop's clock.
        size: bytes that have arrived.
        timeout: the time that the upload may take; set while the body is read.
    """

    def __init__(self, admission: "Admission", started: float) -> None:
        self.started = started
        self.size = 0
        self.timeout: asyncio.Timeout | None = None
        self._admission = admission

    def add(self, size: int) -> None:
        """Count `size` more bytes.

        Raises:
            Overloaded: all uploads together have too many bytes.
        """
        self.size += size
        self._admission.count(size)


class Admission:
    """Counts photos and bytes, and gives out permits.

    Attributes:
        in_flight: photos that hold a permit, from the end of the upload to the answer.
        arriving: requests whose turn it is, and whose photo has no permit yet.
        bytes_held: bytes of all uploads, including uploads that are still arriving.
        on_room: called when there may be room for another photo.
    """

    def __init__(
        self,
        failing: Callable[[], bool],
        throughput: Callable[[], float],
        free_slots: Callable[[], int],
        settings: Settings,
        metrics: Metrics,
    ) -> None:
        self.in_flight = 0
        self.arriving = 0
        self.bytes_held = 0
        self.on_room: Callable[[], None] = lambda: None
        # The oldest upload comes first.
        self._uploads: dict[Upload, None] = {}
        # The bytes of slow uploads that were ended count until their requests have ended too.
        self._ended: set[Upload] = set()
        self._failing = failing
        # The throughput is in photos/s; it is 0 while it is unknown.
        self._throughput = throughput
        # A photo that nobody waits for any more has no permit, but may still be decoded.
        self._free_slots = free_slots
        self._max_permits = settings.places
        self._longest_wait_s = settings.longest_wait_s
        self._capacity_bytes = settings.capacity_bytes
        metrics.capacity.set_function(lambda: self.capacity)
        metrics.capacity_bytes.set(settings.capacity_bytes)
        metrics.in_flight.set_function(lambda: self.in_flight)
        metrics.in_flight_bytes.set_function(lambda: self.bytes_held)

    @property
    def capacity(self) -> int:
        """Permits that exist now.

        The photos inside take half of the longest wait, so that the other half is left for those
        who wait at the door.
        """
        in_time = self._throughput() * self._longest_wait_s / 2 or self._max_permits
        return min(self._max_permits, max(-(-self._max_permits // _LEAST_SHARE), int(in_time)))

    def make_room(self, size: int) -> bool:
        """Return whether a request with an upload of `size` bytes may have its turn now.

        If only bytes are missing, slow uploads are ended, and there will soon be room.
        """
        places_free = min(self.capacity - self.in_flight, self._free_slots()) - self.arriving
        return places_free > 0 and self._free_bytes(size) >= 0

    def seconds_for(self, photos: int) -> float:
        """Return how long the service takes for `photos` and those inside; 0 while unknown."""
        rate = self._throughput()
        return (self.in_flight + self.arriving + photos) / rate if rate else 0.0

    def begin_turn(self, waited_s: float = 0.0) -> Turn:
        """Return a turn for a request that has waited for `waited_s`."""
        self.arriving += 1
        return Turn(waited_s, self._end_turn)

    def check(self) -> None:
        """Refuse a photo if nobody could classify it.

        The pool replaces a lost worker within seconds, and photos that arrive meanwhile wait.
        Photos are refused for want of a worker only if new workers repeatedly fail to start.

        Raises:
            NotReady: no worker is left, and new ones repeatedly fail to start.
        """
        if self._failing():
            raise NotReady

    @contextmanager
    def admit(self, turn: Turn) -> Iterator[None]:
        """Turn a turn into a permit, and hold it until the block ends."""
        self.in_flight += 1
        turn.end()
        try:
            yield
        finally:
            self.in_flight -= 1
            self.on_room()

    @contextmanager
    def hold(self, turn: Turn | None = None) -> Iterator[Upload]:
        """Hold the bytes of an upload until the block ends; its owner counts them as they come.

        The turn of the request ends with the block, too.

        Raises:
            NotReady: as `check` says.
        """
        self.check()
        upload = Upload(self, asyncio.get_running_loop().time())
        self._uploads[upload] = None
        try:
            yield upload
        finally:
            self._uploads.pop(upload, None)
            self._ended.discard(upload)
            self.bytes_held -= upload.size
            if turn:
                turn.end()
            self.on_room()

    def count(self, size: int) -> None:
        """Count bytes that have arrived.

        Raises:
            Overloaded: all uploads together have too many bytes.
        """
        self.bytes_held += size
        if self._free_bytes(0) + self._bytes_ending < 0:
            raise Overloaded(retry_after_s=1)

    @property
    def _bytes_ending(self) -> int:
        return sum(upload.size for upload in self._ended)

    def _free_bytes(self, size: int) -> int:
        """Return the bytes that are left beside `size`; end slow uploads if some are missing."""
        left = self._capacity_bytes - self.bytes_held - size
        self._end_slow_uploads(-left - self._bytes_ending)
        return left

    def _end_slow_uploads(self, missing: int) -> None:
        """End uploads that have been arriving for long, until they had so many bytes together."""
        latest = asyncio.get_running_loop().time() - _SLOW_UPLOAD_S
        for upload in list(self._uploads):
            if missing <= 0 or upload.started > latest:
                return
            if upload.size and upload.timeout and not upload.timeout.expired():
                missing -= upload.size
                del self._uploads[upload]
                self._ended.add(upload)
                upload.timeout.reschedule(latest)

    def _end_turn(self) -> None:
        self.arriving -= 1
        self.on_room()
