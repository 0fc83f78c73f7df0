"""One run measured: the load, and meanwhile what the server's processes and we ourselves use."""

import asyncio
import time
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from app.bench.load.answers import Case
from app.bench.load.client import Connections
from app.bench.load.generator import LoadGenerator, LoadPlan, Result
from app.bench.measure.processes import Usage, machine_cpu_s, usage
from app.bench.measure.stats import Summary, Window, ended, summarize
from app.host import granted_cores


@dataclass(frozen=True)
class ServerUse:
    """What the server's process tree used; memory at the end. No answers, no CPU for each."""

    cpu_ms_per_answer: float | None
    cores: float
    rss_mb: float
    processes: int


@dataclass(frozen=True)
class ToolUse:
    """What this tool used itself, for each request of whatever end, and of all cores."""

    cpu_ms_per_request: float
    share_of_cores: float


@dataclass(frozen=True)
class Measurement:
    """A run and its figures.

    Attributes:
        window: the measured time.
        others_cores: what neither the server nor we used; figures of a busy machine mean little.
    """

    plan: LoadPlan
    window: Window
    samples: list[Result]
    summary: Summary
    server: ServerUse | None
    tool: ToolUse
    others_cores: float | None

    def document(self) -> dict[str, Any]:
        """Return the figures as they stand in the JSON document."""
        loop = {"concurrency": self.plan.concurrency} if self.plan.rate is None else {}
        uses = {
            "server": self.server and asdict(self.server),
            "tool": asdict(self.tool),
            "others_cores": self.others_cores,
        }
        return loop | {"rate": self.plan.rate} | asdict(self.summary) | uses


class _Reading(NamedTuple):
    at: float
    tool_cpu_s: float
    machine_cpu_s: float | None
    server: Usage | None


class Runner:
    """A server and the photos it is asked for, ready for runs.

    Attributes:
        stop: set to end the run that goes on; what it has by then is its result.
    """

    def __init__(
        self, connections: Connections, cases: Sequence[Case], roots: Collection[int]
    ) -> None:
        self.connections = connections
        self.cases = cases
        self.stop = asyncio.Event()
        self._roots = roots

    async def run(self, plan: LoadPlan) -> Measurement:
        """Load the server as planned and measure after the warm-up."""
        load = LoadGenerator(self.connections, self.cases, plan)
        start = time.perf_counter()
        loading = asyncio.create_task(load.run(start))
        stopping = asyncio.create_task(self.stop.wait())
        await _wait(stopping, start + plan.warmup_seconds)
        before = await self._read()
        await _wait(stopping, start + plan.warmup_seconds + plan.seconds)
        after = await self._read()
        await asyncio.wait({loading, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if self.stop.is_set():
            loading.cancel()
        await asyncio.gather(loading, return_exceptions=self.stop.is_set())
        return _run(plan, load.samples, before, after)

    async def _read(self) -> _Reading:
        used = await asyncio.to_thread(usage, self._roots)
        return _Reading(time.perf_counter(), time.process_time(), machine_cpu_s(), used)


async def _wait(stopping: asyncio.Task[Any], moment: float) -> None:
    await asyncio.wait({stopping}, timeout=max(0.0, moment - time.perf_counter()))


def _run(plan: LoadPlan, samples: list[Result], before: _Reading, after: _Reading) -> Measurement:
    window = Window(before.at, after.at)
    summary = summarize(samples, window)
    answers = round(summary.answers_per_s * window.seconds)
    tool_s = after.tool_cpu_s - before.tool_cpu_s
    server, others = None, None
    if before.server and after.server:
        server_s = after.server.cpu_s - before.server.cpu_s
        server = ServerUse(
            cpu_ms_per_answer=round(1000 * server_s / answers, 3) if answers else None,
            cores=round(server_s / window.seconds, 3),
            rss_mb=round(after.server.rss_bytes / 1e6, 1),
            processes=after.server.processes,
        )
        others = _others_cores(before, after, server_s + tool_s)
    tool = ToolUse(
        cpu_ms_per_request=round(1000 * tool_s / max(1, ended(samples, window)), 4),
        share_of_cores=round(tool_s / window.seconds / granted_cores(), 4),
    )
    return Measurement(plan, window, samples, summary, server, tool, others)


def _others_cores(before: _Reading, after: _Reading, ours_s: float) -> float | None:
    if before.machine_cpu_s is None or after.machine_cpu_s is None:
        return None
    others_s = after.machine_cpu_s - before.machine_cpu_s - ours_s
    return round(max(0.0, others_s / (after.at - before.at)), 3)
