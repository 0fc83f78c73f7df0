"""The load: a closed loop (N clients, one request each) or an open loop (arrivals at a rate)."""

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from app.bench.load.answers import Case, judge
from app.bench.load.client import Connections
from app.errors import StartupError

_TIMEOUT_S = 30.0
_MAX_ARRIVALS = 1_000_000
# A client of a closed loop pauses for this time after it has lost its connection.
_PAUSE_S = 0.05


@dataclass(frozen=True)
class LoadPlan:
    """How to load the server: with a `rate` by an open loop, otherwise by a closed loop.

    Attributes:
        concurrency: the clients of a closed loop.
        rate: requests/s of an open loop.
        seconds: the measured time, after the warm-up.
        warmup_seconds: the time of the same load before the measured time.
        seed: seeds the arrivals and the order of the photos.
    """

    concurrency: int = 32
    rate: float | None = None
    seconds: float = 10
    warmup_seconds: float = 2
    seed: int = 0


class Result(NamedTuple):
    """The outcome of one request. Times are readings of `time.perf_counter`, in seconds.

    Attributes:
        intended: when the tool should have sent the request. Latency counts from here, because
            a stall also delays the requests behind it, and would otherwise be hidden.
        sent: when the tool did send it.
        finished: when the answer was complete, or when the request failed.
        status: the status of the answer; 0 without an answer.
        reason: empty for a right answer, otherwise a problem's code, `wrong` or the name of a
            connection error.
        case_index: the index of the photo's case.
    """

    intended: float
    sent: float
    finished: float
    status: int
    reason: str
    case_index: int

    @property
    def latency_s(self) -> float:
        """The seconds from the intended send time to the answer."""
        return self.finished - self.intended


def arrivals(rate: float, seconds: float, seed: int) -> npt.NDArray[np.float64]:
    """Return the times of Poisson arrivals in [0, seconds), sorted, as an array (N,).

    Raises:
        StartupError: more than a million arrivals are expected.
    """
    expected = rate * seconds
    if expected > _MAX_ARRIVALS:
        raise StartupError(f"{expected:.0f} requests are too many: lower the rate or the seconds")
    # The number of arrivals varies with the standard deviation sqrt(expected). Ten times this
    # deviation is enough of a surplus.
    draws = int(expected + 10 * expected**0.5 + 10)
    times = np.cumsum(np.random.default_rng(seed).exponential(1 / rate, draws))
    return np.asarray(times[times < seconds])


class LoadGenerator:
    """A run of one plan. `results` grows while the run goes on, so that it may be cut short."""

    def __init__(self, connections: Connections, cases: Sequence[Case], plan: LoadPlan) -> None:
        self.results: list[Result] = []
        self._connections = connections
        self._cases = cases
        self._plan = plan
        # Each photo occurs equally often, in random order. The order is longer than any batch.
        order = np.tile(np.arange(len(cases)), -(-4096 // len(cases)))
        self._order = np.random.default_rng(plan.seed).permutation(order).tolist()
        self._sent = 0

    async def run(self, start: float) -> None:
        """Send from `start` until the measured time is over, and wait for all answers."""
        seconds = self._plan.warmup_seconds + self._plan.seconds
        if self._plan.rate is None:
            await self._closed_loop(start + seconds)
        else:
            times = arrivals(self._plan.rate, seconds, self._plan.seed)
            await self._open_loop((start + times).tolist())

    async def _closed_loop(self, end: float) -> None:
        async with asyncio.TaskGroup() as clients:
            for _ in range(self._plan.concurrency):
                clients.create_task(self._client(end))

    async def _client(self, end: float) -> None:
        while (now := time.perf_counter()) < end:
            if not await self._send(now):
                await asyncio.sleep(_PAUSE_S)

    async def _open_loop(self, times: Sequence[float]) -> None:
        async with asyncio.TaskGroup() as requests:
            for intended in times:
                if (wait := intended - time.perf_counter()) > 0:
                    # uvloop's clock ticks in milliseconds. Rounding up sends no request too early.
                    await asyncio.sleep(math.ceil(wait * 1000) / 1000)
                requests.create_task(self._send(intended))

    async def _send(self, intended: float) -> int:
        """Send the next photo; return the status of the answer, or 0 without an answer."""
        case_index = self._order[self._sent % len(self._order)]
        self._sent += 1
        case = self._cases[case_index]
        status, sent = 0, time.perf_counter()
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                response = await self._connections.exchange(case.request)
        # TimeoutError is an OSError, too.
        except OSError as error:
            reason = type(error).__name__
        else:
            status, reason = response.status, judge(response, case.expected).reason
        finished = time.perf_counter()
        self.results.append(Result(intended, sent, finished, status, reason, case_index))
        return status
