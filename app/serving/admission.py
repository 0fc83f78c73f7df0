"""Admission control: how many photos, and how many bytes of uploads, the server takes at once."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from app.errors import DeadlineUnreachable, NotReady, Overloaded
from app.settings import Settings
from app.telemetry.metrics import Metrics


class Admission:
    """Gives out permits for photos, and refuses at once a photo that would wait in vain.

    Attributes:
        in_flight: photos that hold a permit, from the end of the upload to the answer.
        bytes_held: bytes of all uploads, including uploads that are still arriving.
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
        # The throughput is in photos/s; it is 0 while it is unknown.
        self._throughput = throughput
        self._max_permits = settings.places
        self._longest_wait_s = settings.longest_wait_s
        self._capacity_bytes = settings.capacity_bytes
        metrics.capacity.set_function(lambda: self.capacity)
        metrics.capacity_bytes.set(settings.capacity_bytes)
        metrics.in_flight.set_function(lambda: self.in_flight)
        metrics.in_flight_bytes.set_function(lambda: self.bytes_held)

    @property
    def capacity(self) -> int:
        """Permits that exist now: fewer than the maximum on a slow machine, but at least half."""
        answered_in_time = self._throughput() * self._longest_wait_s or self._max_permits
        return min(self._max_permits, max((self._max_permits + 1) // 2, int(answered_in_time)))

    def check(self, time_allowed_s: float = math.inf, size: int = 0) -> None:
        """Refuse a photo if there is no permit, no memory, no worker or not enough time for it.

        The pool replaces a lost worker within seconds, and photos that arrive meanwhile wait.
        Photos are refused for want of a worker only if new workers repeatedly fail to start.

        Args:
            time_allowed_s: seconds that the client waits.
            size: bytes of the upload; 0 if the client does not announce them.

        Raises:
            NotReady: no worker is left, and new ones repeatedly fail to start.
            Overloaded: all permits are taken, or all uploads together have too many bytes.
            DeadlineUnreachable: the predicted wait is longer than `time_allowed_s`.
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
        """Hold a permit until the block ends. The errors are those of `check`."""
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

        The photo still has to be admitted after its upload, because it takes a permit only then:
        a slow upload must not keep other photos out.

        Yields:
            A function to call with the length of each piece of the body. The bytes count until the
            block ends. The function raises Overloaded if all uploads together have too many bytes.
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
