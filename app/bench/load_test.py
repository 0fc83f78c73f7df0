"""The command `bench`: first answers, one run or a sweep of runs, and their report."""

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
from app.bench.load.photos import PhotoFile, find_photos
from app.bench.load.target import Target
from app.bench.measure.processes import is_local, server_roots
from app.bench.measure.runner import Measurement, Runner
from app.bench.report import page, tables
from app.bench.sweep import highest_rate, stands
from app.errors import StartupError

_T = TypeVar("_T")

_MAX_CONNECTIONS = 4096
_FIRST_RATE = 16.0  # requests/s, where a sweep begins
DEADLINE_HEADER = "X-Deadline-Ms"


@dataclass(frozen=True)
class Options:
    """What `bench` is asked for; with `sweep_p99_ms` a sweep."""

    url: str
    images: Path | None
    plan: LoadPlan
    deadline_ms: int | None = None
    sweep_p99_ms: float | None = None
    html: Path | None = None
    api_key: str | None = field(default=None, repr=False)


def bench(options: Options, console: Console) -> dict[str, Any]:
    """Load the server and return the JSON document; tables go to `console`.

    Raises:
        StartupError: the server or the photos cannot be used, or the report has no place.
    """
    if options.html and not options.html.parent.is_dir():  # told now, not after an hour's run
        raise StartupError(f"{options.html}: there is no such folder to write the report into")
    photos = find_photos(options.images)
    return run_loop(_bench(options, photos, console))


def run_loop(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Run it on uvloop, with as many connections as the system lets us have."""
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
    """Get the first answers; then Ctrl-C ends a run, and a second one everything.

    Without `roots`, the server's topmost processes, they are found by its port.

    Raises:
        StartupError: a photo gets no first answer.
    """
    connections = Connections(target, _MAX_CONNECTIONS)
    headers = "" if deadline_ms is None else f"{DEADLINE_HEADER}: {deadline_ms}\r\n"
    headers += f"Authorization: Bearer {api_key}\r\n" if api_key else ""
    cases = await ask_reference(connections, photos, headers)
    if not roots and is_local(target.host):
        roots = server_roots(target.port)
    ready = Runner(connections, cases, roots)
    loop = asyncio.get_running_loop()

    def stop() -> None:
        ready.stop.set()
        loop.remove_signal_handler(signal.SIGINT)

    loop.add_signal_handler(signal.SIGINT, stop)
    try:
        yield ready
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        connections.close()


async def _bench(options: Options, photos: Sequence[PhotoFile], console: Console) -> dict[str, Any]:
    target = Target.parse(options.url)
    async with prepared(target, photos, options.deadline_ms, api_key=options.api_key) as ready:
        document: dict[str, Any] = {
            "url": options.url,
            "photos": len(photos),
            "top1": accuracy(ready.cases),
        }
        p99_ms = options.sweep_p99_ms
        if p99_ms is None:
            runs = [await ready.run(options.plan)]
            best = runs[0]
        else:
            runs = await _sweep(ready, options.plan, p99_ms)
            best = max(runs, key=lambda run: (stands(run, p99_ms), run.plan.rate))
            rate = best.plan.rate if stands(best, p99_ms) else 0.0
            document |= {"highest_rate": rate, "p99_bound_ms": p99_ms}
            document["runs"] = [run.document() for run in runs]
            console.print(tables.tries(runs, p99_ms))
    console.print(tables.figures(best, document["top1"]), tables.latencies(best))
    if options.html:
        options.html.write_text(page.render(best, runs, document), encoding="utf-8")
        console.print(f"report: {options.html}")
    return document | best.document() | {"wrong": sum(run.summary.wrong for run in runs)}


async def _sweep(ready: Runner, plan: LoadPlan, p99_ms: float) -> list[Measurement]:
    runs: list[Measurement] = []

    async def holds(rate: float) -> bool:
        if ready.stop.is_set() and runs:
            return False
        runs.append(await ready.run(replace(plan, rate=rate)))
        return stands(runs[-1], p99_ms) and not ready.stop.is_set()

    await highest_rate(holds, plan.rate or _FIRST_RATE)
    return runs
