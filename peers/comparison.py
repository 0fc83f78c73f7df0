"""The comparison: each server's peak, then one easy rate for all of them, then an overload.

Only one server runs at a time. The servers take turns over several rounds and their medians are
compared, because a machine is not equally fast at all times.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.table import Table

from app.bench.load.generator import LoadPlan
from app.bench.load.photos import PhotoFile, photos_to_send
from app.bench.load_test import prepared
from app.bench.measure.probe import probed_run
from app.bench.measure.runner import Measurement
from app.bench.measure.stats import Latency
from peers.servers import SERVERS, running

# The easy rate, as a share of the slowest server's peak.
_EASY = 0.7
# The overload, as a multiple of a server's own peak.
_TOO_MUCH = 2


@dataclass(frozen=True)
class Options:
    """The options of the comparison. Each server gets the variables in `environment`."""

    environment: Mapping[str, str]
    names: Sequence[str]
    images: Path | None = None
    concurrency: int = 32
    seconds: float = 8
    rounds: int = 3


@dataclass(frozen=True)
class Probed:
    """A measurement, the response times of its probes in seconds, and each photo's first class."""

    run: Measurement
    probes_s: list[float]
    classes: list[int]


async def compare(options: Options) -> dict[str, Any]:
    """Measure the servers and return the JSON document.

    Raises:
        StartupError: a server does not start or does not answer, or there are no photos.
    """
    photos = photos_to_send(options.images)
    peaks = await _rounds(photos, options, {name: [_plan(options)] for name in options.names})
    most = {n: median(r.run.summary.right_per_s for r in peaks[n]) for n in options.names}
    rate = round(_EASY * min(most.values()), 1)
    plans = {n: [_plan(options, rate), _plan(options, _TOO_MUCH * most[n])] for n in options.names}
    open_loops = await _rounds(photos, options, plans)
    classes = peaks[options.names[0]][0].classes
    servers = {n: figures(peaks[n], open_loops[n], classes) for n in options.names}
    return {"rate": rate, "photos": len(photos), "servers": servers}


async def _rounds(
    photos: Sequence[PhotoFile], options: Options, plans: Mapping[str, Sequence[LoadPlan]]
) -> dict[str, list[Probed]]:
    measured: dict[str, list[Probed]] = {name: [] for name in plans}
    for _ in range(options.rounds):
        for name in plans:
            measured[name] += await visit(name, photos, options.environment, plans[name])
    return measured


async def visit(
    name: str,
    photos: Sequence[PhotoFile],
    environment: Mapping[str, str],
    plans: Sequence[LoadPlan],
) -> list[Probed]:
    """Start a server, load it with each plan, stop it, and return the measurements."""
    server = SERVERS[name]
    async with (
        running(server, environment) as (target, pid),
        prepared(target, photos, roots={pid}) as runner,
    ):
        classes = [case.expected.class_id for case in runner.cases]
        runs = [Probed(*await probed_run(runner, plan, server.live), classes) for plan in plans]
        # The user has pressed Ctrl-C.
        if runner.stop.is_set():
            raise KeyboardInterrupt
        return runs


def figures(
    peaks: Sequence[Probed], open_loops: Sequence[Probed], classes: Sequence[int]
) -> dict[str, Any]:
    """Return one server's medians. `open_loops` alternates between easy and overloaded runs."""
    easy, over = open_loops[::2], open_loops[1::2]
    all_runs = [probed.run for probed in (*peaks, *open_loops)]
    return {
        "right_per_s": _median(r.run.summary.right_per_s for r in peaks),
        "p99_ms": _p99(peaks),
        "cpu_ms": _median(r.run.server.cpu_ms_per_answer for r in peaks if r.run.server),
        "live_p99_ms": _probe_p99(peaks),
        "easy_p99_ms": _p99(easy),
        "overload_rate": over[0].run.plan.rate,
        "goodput_per_s": _median(r.run.summary.goodput_per_s for r in over),
        "overload_live_p99_ms": _probe_p99(over),
        "wrong": sum(run.summary.wrong for run in all_runs),
        "other_classes": sum(a != b for a, b in zip(peaks[0].classes, classes, strict=True)),
        "others_cores": max((run.others_cores or 0.0 for run in all_runs), default=None),
        "runs": [run.document() for run in all_runs],
    }


def table(document: Mapping[str, Any]) -> Table:
    """Return a table of the medians, one line per server."""
    easy = f"p99 ms at {document['rate']:g}/s"
    columns = ("photos/s", "p99 ms", "CPU ms", easy, "goodput at 2 x", "live p99 ms", "wrong")
    shown = Table("server", title="medians", title_justify="left")
    for column in columns:
        shown.add_column(column, justify="right")
    keys = ("right_per_s", "p99_ms", "cpu_ms", "easy_p99_ms", "goodput_per_s")
    for name, row in document["servers"].items():
        cells = [_text(row[key]) for key in (*keys, "overload_live_p99_ms")]
        shown.add_row(name, *cells, str(row["wrong"] + row["other_classes"]))
    return shown


def _plan(options: Options, rate: float | None = None) -> LoadPlan:
    return LoadPlan(options.concurrency, rate, options.seconds)


def _p99(measured: Sequence[Probed]) -> float | None:
    latencies = (probed.run.summary.latency_ms for probed in measured)
    return _median(latency.p99 for latency in latencies if latency)


def _probe_p99(measured: Sequence[Probed]) -> float | None:
    latencies = (Latency.of(probed.probes_s) for probed in measured)
    return _median(latency.p99 for latency in latencies if latency)


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(median(known), 2) if known else None


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
