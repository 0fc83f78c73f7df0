"""Measurements as tables for the terminal."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from app.bench.load.generator import LoadPlan
from app.bench.measure.runner import Measurement
from app.bench.measure.stats import Latency
from app.bench.sweep import sustained
from app.host import granted_cores

_COLUMNS = ("p50", "p90", "p99", "p99.9", "max")


def title(plan: LoadPlan) -> str:
    """Return a short description of how the server is loaded."""
    if plan.rate is None:
        return f"closed loop, {plan.concurrency} connections, {plan.seconds:g} s"
    return f"open loop, {plan.rate:g} requests/s, {plan.seconds:g} s"


def overview(measurement: Measurement, top1: float | None = None) -> Table:
    """Return a table of rates, errors and costs, and of the accuracy where it is known."""
    table = Table(title=title(measurement.plan), show_header=False, title_justify="left")
    for name, value in _overview_rows(measurement):
        table.add_row(name, value)
    if top1 is not None:
        table.add_row("top-1 accuracy", f"{top1:.1%} of the labelled photos")
    return table


def latencies(measurement: Measurement) -> Table:
    """Return a table of the milliseconds from the intended send time to the answer."""
    table = Table("ms", title_justify="left")
    for column in _COLUMNS:
        table.add_column(column, justify="right")
    summary = measurement.summary
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


def tried_rates(measurements: Iterable[Measurement], p99_ms: float) -> Table:
    """Return a table of a sweep's measurements, one per line, the lowest rate first."""
    bound = f"p99 < {p99_ms:g} ms"
    table = Table("requests/s", "right/s", "p50 ms", "p99 ms", "errors", "others", bound)
    for measurement in sorted(measurements, key=lambda m: m.plan.rate or 0):
        summary, latency = measurement.summary, measurement.summary.latency_ms
        others_cores = measurement.others_cores
        table.add_row(
            f"{measurement.plan.rate:.1f}",
            f"{summary.right_per_s:.1f}",
            f"{latency.p50:.1f}" if latency else "",
            f"{latency.p99:.1f}" if latency else "",
            str(summary.errors),
            "" if others_cores is None else busy(others_cores),
            "yes" if sustained(measurement, p99_ms) else Text("no", "red"),
        )
    return table


def costs(document: Mapping[str, Any]) -> Table:
    """Return a table of the efficiency: the costs alone, the bounds, and what was served."""
    table = Table(title="medians", show_header=False, title_justify="left")
    plain = f"{document['plain_decode_ms']:.2f} if decoded in full size"
    table.add_row("decode", f"{document['decode_ms']:.2f} ms CPU per photo; {plain}")
    for size, milliseconds in document["engine_ms"].items():
        table.add_row(f"engine, batch {size}", f"{milliseconds:.2f} ms CPU per image")
    busy_engine = f"{document['busy_engine_ms']:.2f} ms CPU per image with every core busy"
    table.add_row("engine, busy", busy_engine)
    bound = f"{document['cores']} cores / (decode + best batch)"
    table.add_row("bound", f"{document['bound_per_s']:.1f} images/s = {bound}")
    table.add_row("", f"{document['busy_bound_per_s']:.1f} with the busy engine")
    table.add_row("", f"{document['plain_bound_per_s']:.1f} with photos decoded in full size")
    share = f"{document['bulk_efficiency']:.2f} of the bound"
    table.add_row("classified in bulk", f"{document['bulk_per_s']:.1f} images/s, {share}")
    table.add_row("", f"{document['bulk_cpu_ms']:.2f} ms CPU per image")
    if document["bulk_cpu_share"]:
        table.add_row("", f"{document['bulk_cpu_share']:.2f} of it for decode and best batch alone")
    clients = f"with {document['concurrency']} clients"
    table.add_row("served", f"{document['right_per_s']:.1f} images/s {clients}")
    table.add_row("efficiency", f"[bold]{document['efficiency']:.2f}[/bold]")
    for name, value in _served_rows(document):
        table.add_row(name, value)
    table.add_row("this tool", f"{document['tool_cpu_ms']:.2f} ms CPU per request")
    if document["others_cores"] is not None:
        table.add_row("other processes", busy(document["others_cores"]))
    table.add_row("errors", f"{document['errors']}; wrong answers {document['wrong']}")
    return table


def _served_rows(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if document["p50_ms"]:
        yield "latency", f"p50 {document['p50_ms']:.1f} ms, p99 {document['p99_ms']:.1f} ms"
    if health := document["health_live_ms"]:
        yield "/health/live", f"p50 {health['p50']:.1f} ms, p99 {health['p99']:.1f} ms meanwhile"
    if document["server_cpu_ms"]:
        yield "server", f"{document['server_cpu_ms']:.1f} ms CPU per answer"
    if document["idle_ms"]:
        beside = f"{document['idle_beside_ms']:.1f} beside decode and engine"
        yield "one client", f"p50 {document['idle_ms']:.1f} ms, {beside}"
    if document["overload_goodput"] and document["overload_refusal_p99_ms"]:
        share = f"{document['overload_goodput']:.2f} of the served rate is answered within 1 s"
        yield "at twice the rate", f"{share}, p99 {document['overload_p99_ms']:.1f} ms"
        refused = f"refusals p99 {document['overload_refusal_p99_ms']:.1f} ms"
        calm = f"the last answer {document['overload_calm_after_s']:.2f} s after its end"
        yield "", f"{refused}; {calm}"


def _overview_rows(measurement: Measurement) -> Iterator[tuple[str, Text | str]]:
    summary = measurement.summary
    yield "requests", f"{summary.requests} in {summary.seconds:.1f} s"
    yield "answers/s", f"{summary.answers_per_s:.1f}, right {summary.right_per_s:.1f}"
    yield "goodput/s", f"{summary.goodput_per_s:.1f} right within 1 s"
    yield "wrong answers", Text(str(summary.wrong), "red" if summary.wrong else "green")
    if summary.errors_by_status:
        yield "errors", f"{_listed(summary.errors_by_status)} ({_listed(summary.errors_by_code)})"
    if summary.transport_errors:
        yield "connections", _listed(summary.transport_errors)
    if server := measurement.server:
        each = server.cpu_ms_per_answer
        cost = f"{server.cores:.2f} cores" + (f" = {each:.1f} ms CPU per answer" if each else "")
        yield "server", f"{cost}, {server.rss_mb:.0f} MB RSS in {server.processes} processes"
    tool = measurement.tool
    share = f"{tool.share_of_cores:.1%} of all cores"
    yield "this tool", f"{tool.cpu_ms_per_request:.2f} ms CPU per request, {share}"
    if measurement.others_cores is not None:
        yield "other processes", busy(measurement.others_cores)


def busy(others_cores: float) -> Text:
    """Return the cores that other processes used, in red if they disturbed the measurement."""
    disturbed = others_cores > 0.05 * granted_cores()
    return Text(f"{others_cores:.2f} cores", "red" if disturbed else "")


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} x {name}" for name, count in counts.items())


def _milliseconds(latency: Latency) -> Iterator[str]:
    for value in (latency.p50, latency.p90, latency.p99, latency.p99_9, latency.max):
        yield f"{value:.1f}"


def engine_table(document: Mapping[str, Any]) -> Table:
    """Return a table of the engines, with a line for each that cannot run here."""
    sizes = list(next(iter(document["engines"].values()))["cpu_ms"])
    table = Table(title="milliseconds of CPU for each photo, by batch size", title_justify="left")
    table.add_column("engine", no_wrap=True)
    for column in (*sizes, "same class", "difference", "MB", "start s"):
        table.add_column(str(column), justify="right")
    for engine, row in document["engines"].items():
        table.add_row(
            engine,
            *(f"{row['cpu_ms'][size]:.1f}" for size in sizes),
            "" if row["same_class"] is None else f"{row['same_class']:.1%}",
            "" if row["difference"] is None else f"{row['difference']:.0e}",
            "" if row["memory_mb"] is None else f"{row['memory_mb']:.0f}",
            f"{row['start_s']:.1f}",
        )
    notes = [f"{engine}: {reason}" for engine, reason in document["missing"].items()]
    notes += [f"recommended: CLASSIFIER_ENGINE={document['recommended']}"]
    table.caption, table.caption_justify = Text("\n".join(notes)), "left"
    return table
