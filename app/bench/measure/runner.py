"""One run of the load, with the CPU and memory that the server and this tool use meanwhile."""

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
    """What the server's process tree used.

    Attributes:
        cpu_ms_per_answer: CPU milliseconds per 200; None if there was no 200.
        cores: CPU seconds per second.
        rss_mb: resident memory in MB, at the end.
        processes: the number of processes, at the end.
    """

    cpu_ms_per_answer: float | None
    cores: float
    rss_mb: float
    processes: int


@dataclass(frozen=True)
class ToolUse:
    """What this tool used itself.

    Attributes:
        cpu_ms_per_request: CPU milliseconds per request that ended, with or without an answer.
        share_of_cores: its share of all cores, 0 to 1.
    """

    cpu_ms_per_request: float
    share_of_cores: float


@dataclass(frozen=True)
class Measurement:
    """A run with its results and statistics.

    Attributes:
        plan: how the server was loaded.
        window: the measured time.
        results: the outcome of every request, those of the warm-up included.
        summary: the statistics of the results.
        server: what the server used; None if its processes were not found.
        tool: what this tool used.
        others_cores: CPU seconds per second of all other processes; None if unknown. On a busy
            machine, the measurement means little.
    """

    plan: LoadPlan
    window: Window
    results: list[Result]
    summary: Summary
    server: ServerUse | None
    tool: ToolUse
    others_cores: float | None

    def document(self) -> dict[str, Any]:
        """Return the entries of the JSON document."""
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
    """The runner of loads against one server.

    Attributes:
        connections: the connections to the server.
        cases: the photos with their reference answers.
        stop: setting this event ends the current run, which keeps the results that it has.
    """

    def __init__(
        self, connections: Connections, cases: Sequence[Case], roots: Collection[int]
    ) -> None:
        self.connections = connections
        self.cases = cases
        self.stop = asyncio.Event()
        self._roots = roots

    async def run(self, plan: LoadPlan) -> Measurement:
        """Load the server as planned and return the measurement of the time after the warm-up."""
        generator = LoadGenerator(self.connections, self.cases, plan)
        start = time.perf_counter()
        loading = asyncio.create_task(generator.run(start))
        stopping = asyncio.create_task(self.stop.wait())
        await _wait_until(stopping, start + plan.warmup_seconds)
        before = await self._read()
        await _wait_until(stopping, start + plan.warmup_seconds + plan.seconds)
        after = await self._read()
        await asyncio.wait({loading, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if self.stop.is_set():
            loading.cancel()
        await asyncio.gather(loading, return_exceptions=self.stop.is_set())
        return _measurement(plan, generator.results, before, after)

    async def _read(self) -> _Reading:
        used = await asyncio.to_thread(usage, self._roots)
        return _Reading(time.perf_counter(), time.process_time(), machine_cpu_s(), used)


async def _wait_until(stopping: asyncio.Task[Any], moment: float) -> None:
    await asyncio.wait({stopping}, timeout=max(0.0, moment - time.perf_counter()))


def _measurement(
    plan: LoadPlan, results: list[Result], before: _Reading, after: _Reading
) -> Measurement:
    window = Window(before.at, after.at)
    summary = summarize(results, window)
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
        cpu_ms_per_request=round(1000 * tool_s / max(1, ended(results, window)), 4),
        share_of_cores=round(tool_s / window.seconds / granted_cores(), 4),
    )
    return Measurement(plan, window, results, summary, server, tool, others)


def _others_cores(before: _Reading, after: _Reading, ours_s: float) -> float | None:
    if before.machine_cpu_s is None or after.machine_cpu_s is None:
        return None
    others_s = after.machine_cpu_s - before.machine_cpu_s - ours_s
    return round(max(0.0, others_s / (after.at - before.at)), 3)
