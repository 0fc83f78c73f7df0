"""The command `bench`: it gets the reference answers, makes one run or a sweep, and reports."""

import asyncio
import resource
import signal
from collections.abc import AsyncIterator, Collection, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import uvloop
from rich.console import Console

from app.bench.load.answers import accuracy, ask_reference
from app.bench.load.client import Connections
from app.bench.load.generator import LoadPlan
from app.bench.load.photos import PhotoFile, photos_to_send
from app.bench.load.target import Target
from app.bench.measure.processes import is_local, server_roots
from app.bench.measure.runner import Measurement, Runner
from app.bench.report import page, tables
from app.bench.sweep import highest_rate, sustained
from app.errors import StartupError

_T = TypeVar("_T")

_MAX_CONNECTIONS = 4096
_FIRST_SWEEP_RATE = 16.0  # requests/s
DEADLINE_HEADER = "X-Deadline-Ms"


@dataclass(frozen=True)
class Options:
    """The options of `bench`. With `sweep_p99_ms`, the command makes a sweep."""

    url: str
    images: Path | None
    plan: LoadPlan
    deadline_ms: int | None = None
    sweep_p99_ms: float | None = None
    html: Path | None = None
    api_key: str | None = field(default=None, repr=False)


def bench(options: Options, console: Console) -> dict[str, Any]:
    """Load the server and return the JSON document. Tables go to `console`.

    Raises:
        StartupError: the server or the photos cannot be used, or the report's folder is missing.
    """
    # The folder is checked before the run, because a run may last for an hour.
    if options.html and not options.html.parent.is_dir():
        raise StartupError(f"{options.html}: the report's folder does not exist, create it first")
    photos = photos_to_send(options.images)
    return run_loop(_bench(options, photos, console))


def run_loop(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine on uvloop and return its result.

    The limit of open files, which limits the connections, is raised as far as the system allows.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(coroutine)


@asynccontextmanager
async def prepared(
    target: Target,
    photos: Sequence[PhotoFile],
    deadline_ms: int | None = None,
    roots: Collection[int] = (),
    api_key: str | None = None,
) -> AsyncIterator[Runner]:
    """Yield a runner that has the reference answer of each photo.

    The first Ctrl-C ends the current run, and the second one ends the program.

    Args:
        target: the server.
        photos: the photos to send.
        deadline_ms: the deadline that each request asks for.
        roots: the ids of the server's topmost processes; if empty, a local server's are found by
            its port.
        api_key: the key that each request sends.

    Raises:
        StartupError: a photo gets no reference answer.
    """
    connections = Connections(target, _MAX_CONNECTIONS)
    headers = "" if deadline_ms is None else f"{DEADLINE_HEADER}: {deadline_ms}\r\n"
    headers += f"Authorization: Bearer {api_key}\r\n" if api_key else ""
    cases = await ask_reference(connections, photos, headers)
    if not roots and is_local(target.host):
        roots = server_roots(target.port)
    runner = Runner(connections, cases, roots)
    loop = asyncio.get_running_loop()

    def stop() -> None:
        runner.stop.set()
        loop.remove_signal_handler(signal.SIGINT)

    loop.add_signal_handler(signal.SIGINT, stop)
    try:
        yield runner
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        connections.close()


async def _bench(options: Options, photos: Sequence[PhotoFile], console: Console) -> dict[str, Any]:
    target = Target.parse(options.url)
    async with prepared(target, photos, options.deadline_ms, api_key=options.api_key) as runner:
        document: dict[str, Any] = {
            "url": options.url,
            "photos": len(photos),
            "top1": accuracy(runner.cases),
        }
        p99_ms = options.sweep_p99_ms
        if p99_ms is None:
            measurements = [await runner.run(options.plan)]
            best = measurements[0]
        else:
            measurements = await _sweep(runner, options.plan, p99_ms)
            best = max(measurements, key=lambda m: (sustained(m, p99_ms), m.plan.rate))
            rate = best.plan.rate if sustained(best, p99_ms) else 0.0
            document |= {"highest_rate": rate, "p99_bound_ms": p99_ms}
            document["runs"] = [measurement.document() for measurement in measurements]
            console.print(tables.tried_rates(measurements, p99_ms))
    console.print(tables.overview(best, document["top1"]), tables.latencies(best))
    if options.html:
        options.html.write_text(page.render(best, measurements, document), encoding="utf-8")
        console.print(f"report: {options.html}")
    wrong = sum(measurement.summary.wrong for measurement in measurements)
    return document | best.document() | {"wrong": wrong}


async def _sweep(runner: Runner, plan: LoadPlan, p99_ms: float) -> list[Measurement]:
    measurements: list[Measurement] = []

    async def sustains(rate: float) -> bool:
        if runner.stop.is_set() and measurements:
            return False
        measurements.append(await runner.run(replace(plan, rate=rate)))
        return sustained(measurements[-1], p99_ms) and not runner.stop.is_set()

    await highest_rate(sustains, plan.rate or _FIRST_SWEEP_RATE)
    return measurements
