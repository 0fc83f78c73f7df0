"""The load itself: closed loop (N clients, one request each) or open loop (arrivals at a rate)."""

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
_PAUSE_S = 0.05  # of a closed loop's client after a lost connection


@dataclass(frozen=True)
class LoadPlan:
    """How to load: with a rate in requests/s an open loop, else a closed one."""

    concurrency: int = 32
    rate: float | None = None
    seconds: float = 10
    warmup_seconds: float = 2
    seed: int = 0


class Result(NamedTuple):
    """What became of one request. Times are of `time.perf_counter`, in seconds.

    Attributes:
        intended: when it should have been sent; latency counts from here, so that a stall is
            not hidden by the requests that it kept from being sent.
        sent: when it was.
        status: of the answer; 0 where there was none.
        reason: empty for a right answer, else a problem's code, `wrong` or a connection's error.
        case: which photo, by its place.
    """

    intended: float
    sent: float
    finished: float
    status: int
    reason: str
    case: int

    @property
    def latency_s(self) -> float:
        """From when it should have been sent to the answer."""
        return self.finished - self.intended


def arrivals(rate: float, seconds: float, seed: int) -> npt.NDArray[np.float64]:
    """Return the times of Poisson arrivals in [0, seconds), sorted.

    Raises:
        StartupError: they are more than a million.
    """
    expected = rate * seconds
    if expected > _MAX_ARRIVALS:
        raise StartupError(f"{expected:.0f} requests are too many: lower the rate or the seconds")
    draws = int(expected + 10 * expected**0.5 + 10)  # more than enough
    times = np.cumsum(np.random.default_rng(seed).exponential(1 / rate, draws))
    return np.asarray(times[times < seconds])


class LoadGenerator:
    """One run: samples gather in `samples` while it goes on, so that it may be cut short."""

    def __init__(self, connections: Connections, cases: Sequence[Case], plan: LoadPlan) -> None:
        self.samples: list[Result] = []
        self._connections = connections
        self._cases = cases
        self._plan = plan
        # Each photo equally often, in an order without a pattern; longer than any batch.
        order = np.tile(np.arange(len(cases)), -(-4096 // len(cases)))
        self._order = np.random.default_rng(plan.seed).permutation(order).tolist()
        self._sent = 0

    async def run(self, start: float) -> None:
        """Send from `start` on until warm-up and measured time are over and all is answered."""
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
                    await asyncio.sleep(math.ceil(wait * 1000) / 1000)  # uvloop's clock ticks in ms
                requests.create_task(self._send(intended))

    async def _send(self, intended: float) -> int:
        """Send the next photo; return the answer's status, 0 without one."""
        index = self._order[self._sent % len(self._order)]
        self._sent += 1
        case = self._cases[index]
        status, sent = 0, time.perf_counter()
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                response = await self._connections.exchange(case.request)
        except OSError as error:  # TimeoutError is one too
            reason = type(error).__name__
        else:
            status, reason = response.status, judge(response, case.expected).reason
        finished = time.perf_counter()
        self.samples.append(Result(intended, sent, finished, status, reason, index))
        return status
