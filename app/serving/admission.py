"""The door: how many photos, and how many of their bytes, may be inside at once."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from app.errors import DeadlineUnreachable, NotReady, Overloaded
from app.settings import Settings
from app.telemetry.metrics import Metrics


class Admission:
    """Counts who is inside; refuses at once whoever would wait in vain.

    Attributes:
        in_flight: photos inside, from their upload's end to their answer.
        bytes_held: of all uploads, also of those that still arrive.
    """

    def __init__(
        self,
        failing: Callable[[], bool],
        throughput: Callable[[], float],
        settings: Settings,
        metrics: Metrics,
    ) -> None:
        self.in_flight = 0
        self.bytes_held = 0
        self._failing = failing
        self._throughput = throughput  # photos/s; 0 while it is unknown
        self._places = settings.places
        self._longest_wait_s = settings.longest_wait_s
        self._capacity_bytes = settings.capacity_bytes
        metrics.capacity.set_function(lambda: self.capacity)
        metrics.capacity_bytes.set(settings.capacity_bytes)
        metrics.in_flight.set_function(lambda: self.in_flight)
        metrics.in_flight_bytes.set_function(lambda: self.bytes_held)

    @property
    def capacity(self) -> int:
        """Photos that may be inside now: a slow machine takes fewer, but half of them always."""
        in_time = self._throughput() * self._longest_wait_s or self._places
        return min(self._places, max((self._places + 1) // 2, int(in_time)))

    def check(self, time_allowed_s: float = math.inf, size: int = 0) -> None:
        """Refuse whom there is no place, no memory, no worker or no time for.

        A lost worker is replaced within seconds, and who comes meanwhile waits; only when that
        fails are callers sent away.

        Args:
            time_allowed_s: how long the caller waits.
            size: bytes of the upload, as far as it is announced.

        Raises:
            NotReady, Overloaded, DeadlineUnreachable: see their texts.
        """
        if self._failing():
            raise NotReady
        wait_s = self._predicted_wait_s()
        retry_after_s = max(1, math.ceil(wait_s))
        if self.in_flight >= self.capacity or self.bytes_held + size > self._capacity_bytes:
            raise Overloaded(retry_after_s=retry_after_s)
        if wait_s > time_allowed_s:
            raise DeadlineUnreachable(retry_after_s=retry_after_s)

    @contextmanager
    def admit(self, time_allowed_s: float = math.inf) -> Iterator[None]:
        """Hold one of the places till the answer; raises as `check` does."""
        self.check(time_allowed_s)
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1

    @contextmanager
    def hold(
        self, time_allowed_s: float = math.inf, announced: int = 0
    ) -> Iterator[Callable[[int], None]]:
        """Check as `check` does, then count an upload's bytes while they arrive.

        The photo still has to be admitted after its upload, because it takes a place only then:
        a slow upload must not keep others out.

        Yields:
            A function to call with the length of each piece of the body. The bytes count until
            the block ends. It raises Overloaded if all uploads together have too many bytes.
        """
        self.check(time_allowed_s, announced)
        held = 0

        def add(size: int) -> None:
            nonlocal held
            held += size
            self.bytes_held += size
            if self.bytes_held > self._capacity_bytes:
                raise Overloaded(retry_after_s=max(1, math.ceil(self._predicted_wait_s())))

        try:
            yield add
        finally:
            self.bytes_held -= held

    def _predicted_wait_s(self) -> float:
        rate = self._throughput()
        return self.in_flight / rate if rate else 0.0
