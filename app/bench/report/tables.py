"""A run as a table for people."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from app.bench.load.generator import LoadPlan
from app.bench.measure.runner import Measurement
from app.bench.measure.stats import Latency
from app.bench.sweep import stands
from app.host import granted_cores

_COLUMNS = ("p50", "p90", "p99", "p99.9", "max")


def title(plan: LoadPlan) -> str:
    """Say in a few words how the server is loaded."""
    if plan.rate is None:
        return f"closed loop, {plan.concurrency} connections, {plan.seconds:g} s"
    return f"open loop, {plan.rate:g} requests/s, {plan.seconds:g} s"


def figures(run: Measurement, top1: float | None = None) -> Table:
    """Return rates, errors, costs and, where it is known, the part of labels that were met."""
    table = Table(title=title(run.plan), show_header=False, title_justify="left")
    for name, value in _figures(run):
        table.add_row(name, value)
    if top1 is not None:
        table.add_row("top-1 accuracy", f"{top1:.1%} of the labelled photos")
    return table


def latencies(run: Measurement) -> Table:
    """Return milliseconds from the intended send time to the answer."""
    table = Table("ms", title_justify="left")
    for column in _COLUMNS:
        table.add_column(column, justify="right")
    summary = run.summary
    rows = {
        "answer (200)": summary.latency_ms,
        "refusal (429)": summary.refusal_ms,
        "failure": summary.failure_ms,
        "sent late by": summary.send_lag_ms,
    }
    for name, latency in rows.items():
        if latency:
            table.add_row(name, *_milliseconds(latency))
    return table


def tries(runs: Iterable[Measurement], p99_ms: float) -> Table:
    """Return a sweep's runs, a line each, the slowest rate first."""
    stood = f"p99 < {p99_ms:g} ms"
    table = Table("requests/s", "right/s", "p50 ms", "p99 ms", "errors", "others", stood)
    for run in sorted(runs, key=lambda run: run.plan.rate or 0):
        summary, latency = run.summary, run.summary.latency_ms
        table.add_row(
            f"{run.plan.rate:.1f}",
            f"{summary.right_per_s:.1f}",
            f"{latency.p50:.1f}" if latency else "",
            f"{latency.p99:.1f}" if latency else "",
            str(summary.errors),
            "" if run.others_cores is None else busy(run.others_cores),
            "yes" if stands(run, p99_ms) else Text("no", "red"),
        )
    return table


def costs(document: Mapping[str, Any]) -> Table:
    """Return what was measured for the efficiency: costs alone, bounds, and what was served."""
    table = Table(title="medians", show_header=False, title_justify="left")
    whole = f"{document['plain_decode_ms']:.2f} where it is decoded whole"
    table.add_row("decode", f"{document['decode_ms']:.2f} ms CPU a photo; {whole}")
    for size, milliseconds in document["engine_ms"].items():
        table.add_row(f"engine, batch {size}", f"{milliseconds:.2f} ms CPU an image")
    at_it = f"{document['busy_engine_ms']:.2f} ms CPU an image with every core at it"
    table.add_row("engine, busy", at_it)
    bound = f"{document['cores']} cores / (decode + best batch)"
    table.add_row("bound", f"{document['bound_per_s']:.1f} images/s = {bound}")
    table.add_row("", f"{document['busy_bound_per_s']:.1f} with the busy engine")
    table.add_row("", f"{document['plain_bound_per_s']:.1f} with photos decoded whole")
    clients = f"with {document['concurrency']} clients"
    table.add_row("served", f"{document['right_per_s']:.1f} images/s {clients}")
    table.add_row("efficiency", f"[bold]{document['efficiency']:.2f}[/bold]")
    for name, value in _waits(document):
        table.add_row(name, value)
    table.add_row("this tool", f"{document['tool_cpu_ms']:.2f} ms CPU a request")
    if document["others_cores"] is not None:
        table.add_row("other processes", busy(document["others_cores"]))
    table.add_row("errors", f"{document['errors']}, of them wrong answers {document['wrong']}")
    return table


def _waits(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if document["p50_ms"]:
        yield "latency", f"p50 {document['p50_ms']:.1f} ms, p99 {document['p99_ms']:.1f} ms"
    if health := document["health_live_ms"]:
        yield "/health/live", f"p50 {health['p50']:.1f} ms, p99 {health['p99']:.1f} ms meanwhile"
    if document["server_cpu_ms"]:
        yield "server", f"{document['server_cpu_ms']:.1f} ms CPU an answer"
    if document["idle_ms"]:
        beside = f"{document['idle_beside_ms']:.1f} beside decode and engine"
        yield "one client", f"p50 {document['idle_ms']:.1f} ms, {beside}"
    if document["overload_goodput"] and document["overload_refusal_p99_ms"]:
        share = f"{document['overload_goodput']:.2f} of that answered within 1 s"
        yield "at twice that", f"{share}, p99 {document['overload_p99_ms']:.1f} ms"
        refused = f"refusals p99 {document['overload_refusal_p99_ms']:.1f} ms"
        yield "", f"{refused}; all answered {document['overload_calm_after_s']:.2f} s after its end"


def _figures(run: Measurement) -> Iterator[tuple[str, Text | str]]:
    summary = run.summary
    yield "requests", f"{summary.requests} in {summary.seconds:.1f} s"
    yield "answers/s", f"{summary.answers_per_s:.1f}, right {summary.right_per_s:.1f}"
    yield "goodput/s", f"{summary.goodput_per_s:.1f} right within 1 s"
    yield "wrong answers", Text(str(summary.wrong), "red" if summary.wrong else "green")
    if summary.errors_by_status:
        yield "errors", f"{_listed(summary.errors_by_status)} ({_listed(summary.errors_by_code)})"
    if summary.transport_errors:
        yield "connections", _listed(summary.transport_errors)
    if server := run.server:
        each = server.cpu_ms_per_answer
        cost = f"{server.cores:.2f} cores" + (f" = {each:.1f} ms CPU an answer" if each else "")
        yield "server", f"{cost}, {server.rss_mb:.0f} MB RSS in {server.processes} processes"
    tool = run.tool
    share = f"{tool.share_of_cores:.1%} of all cores"
    yield "this tool", f"{tool.cpu_ms_per_request:.2f} ms CPU a request, {share}"
    if run.others_cores is not None:
        yield "other processes", busy(run.others_cores)


def busy(others_cores: float) -> Text:
    """Say what else ran meanwhile, in red where it disturbed."""
    disturbed = others_cores > 0.05 * granted_cores()
    return Text(f"{others_cores:.2f} cores", "red" if disturbed else "")


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} x {name}" for name, count in counts.items())


def _milliseconds(latency: Latency) -> Iterator[str]:
    for value in (latency.p50, latency.p90, latency.p99, latency.p99_9, latency.max):
        yield f"{value:.1f}"
