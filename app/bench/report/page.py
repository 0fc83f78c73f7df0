"""The report: one self-contained HTML page with the rates and charts of a measurement."""

import math
from collections.abc import Iterator, Sequence
from html import escape
from string import Template
from typing import Any

from app.bench.load.generator import Result
from app.bench.measure.runner import Measurement
from app.bench.measure.stats import percentile
from app.bench.report.charts import Chart, Line, Point, nice_step
from app.bench.report.tables import title

_PERCENTILES = (0, 50, 90, 99, 99.9, 99.99)
# More points than these would not be visible in a curve.
_POINTS = 300
_MAX_BINS = 60

_PAGE = Template("""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>$title</title>
<style>
:root { color-scheme: light dark; --ink: light-dark(#1f2430, #e6e8ee); --dim: #8a90a0;
  --card: light-dark(#fff, #1b1f29); --edge: light-dark(#e3e6ee, #303646);
  --good: light-dark(#2563eb, #6b9bff); --bad: light-dark(#dc2626, #ff6b6b); }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); max-width: 900px;
  margin: 2.5rem auto; padding: 0 1rem; background: light-dark(#f6f7fb, #12151c); }
h1 { font-size: 1.5rem; margin: 0; } p { color: var(--dim); margin: .2rem 0 1.5rem; }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(190px, 1fr)); gap: .8rem; }
dl div, figure { background: var(--card); border: 1px solid var(--edge); border-radius: 10px;
  padding: .8rem 1rem; }
dt { color: var(--dim); font-size: .8rem; } dd { margin: 0; font-size: 1.35rem; font-weight: 600; }
dd.bad { color: var(--bad); } figure { margin: .8rem 0; }
figcaption { display: flex; gap: 1.2rem; margin-bottom: .4rem; }
figcaption b { flex: 1; } figcaption span::before { content: ""; display: inline-block;
  width: 14px; height: 3px; margin-right: 6px; vertical-align: middle; background: currentColor; }
span.good { color: var(--good); } span.bad { color: var(--bad); }
svg { width: 100%; display: block; } svg line { stroke: var(--edge); }
svg text { font-size: 12px; fill: var(--dim); } .y { text-anchor: end; } .x { text-anchor: middle; }
polyline { fill: none; stroke-width: 2; stroke-linejoin: round; }
polyline.good { stroke: var(--good); } polyline.bad { stroke: var(--bad); }
</style>
<h1>$title</h1><p>$about</p>
<dl>$tiles</dl>
$charts
</html>
""")


def render(best: Measurement, measurements: Sequence[Measurement], document: dict[str, Any]) -> str:
    """Return the HTML page of a measurement; after a sweep, also with all rates that it tried."""
    charts = [_latencies(best), _throughput(best), _latency_over_time(best)]
    if "highest_rate" in document:
        charts.insert(0, _tried_rates(measurements))
    return _PAGE.substitute(
        title=escape(title(best.plan)),
        about=escape(_about(measurements, document)),
        tiles="".join(
            f'<div><dt>{escape(name)}</dt><dd class="{kind}">{escape(value)}</dd></div>'
            for name, value, kind in _tiles(best)
        ),
        charts="\n".join(chart.svg() for chart in charts),
    )


def _about(measurements: Sequence[Measurement], document: dict[str, Any]) -> str:
    about = f"{document['url']}, {document['photos']} photos"
    if "highest_rate" not in document:
        return about
    rate, p99_ms = document["highest_rate"], document["p99_bound_ms"]
    found = f"the highest sustained rate with p99 below {p99_ms:g} ms is {rate:g} requests/s"
    return f"{about}, sweep of {len(measurements)} runs: {found}"


def _tiles(measurement: Measurement) -> Iterator[tuple[str, str, str]]:
    summary = measurement.summary
    yield "right answers/s", f"{summary.right_per_s:.1f}", ""
    yield "right within 1 s, /s", f"{summary.goodput_per_s:.1f}", ""
    if latency := summary.latency_ms:
        yield "p50", f"{latency.p50:.1f} ms", ""
        yield "p99", f"{latency.p99:.1f} ms", ""
    yield "wrong answers", str(summary.wrong), "bad" if summary.wrong else ""
    errors = summary.errors - summary.wrong
    yield "errors", str(errors), "bad" if errors else ""
    if server := measurement.server:
        if server.cpu_ms_per_answer:
            yield "server CPU per answer", f"{server.cpu_ms_per_answer:.1f} ms", ""
        yield "server memory", f"{server.rss_mb:.0f} MB", ""


def _latencies(measurement: Measurement) -> Chart:
    """Return the chart of latency by percentile. Its logarithmic x axis draws the tail large."""
    ordered = sorted(r.latency_s * 1000 for r in _answers(measurement))
    nines = math.log10(max(10, len(ordered)))
    curve: list[Point] = []
    for i in range(_POINTS + 1) if ordered else ():
        x = nines * i / _POINTS
        curve.append((x, percentile(ordered, 100 * (1 - 10**-x))))
    ticks = [(-math.log10(1 - p / 100), f"{p:g} %") for p in _PERCENTILES]
    shown = [tick for tick in ticks if tick[0] <= nines]
    return Chart("Latency by percentile", "ms", [Line("200", "good", curve)], shown)


def _throughput(measurement: Measurement) -> Chart:
    good: list[Point] = []
    bad: list[Point] = []
    for second, width, bin_ in _bins(measurement):
        good.append((second, sum(not r.reason for r in bin_) / width))
        bad.append((second, sum(bool(r.reason) for r in bin_) / width))
    lines = [Line("right", "good", good), Line("errors and wrong", "bad", bad)]
    return Chart("Answers over time", "/s", lines, _seconds(measurement))


def _latency_over_time(measurement: Measurement) -> Chart:
    lines: list[Line] = []
    for p, kind in ((99, "bad"), (50, "good")):
        points: list[Point] = []
        for second, _, bin_ in _bins(measurement):
            if latencies := sorted(r.latency_s * 1000 for r in bin_ if r.status == 200):
                points.append((second, percentile(latencies, p)))
        lines.append(Line(f"p{p}", kind, points))
    return Chart("Latency over time", "ms", lines, _seconds(measurement))


def _tried_rates(measurements: Sequence[Measurement]) -> Chart:
    points = sorted(
        (m.plan.rate or 0, m.summary.latency_ms.p99) for m in measurements if m.summary.latency_ms
    )
    ticks = [(rate, f"{rate:g}/s") for rate in _ticks(points[-1][0])] if points else []
    return Chart("p99 by rate", "ms", [Line("p99", "good", points)], ticks)


def _answers(measurement: Measurement) -> Iterator[Result]:
    window = measurement.window
    return (r for r in measurement.results if r.status == 200 and r.intended in window)


def _bins(measurement: Measurement) -> Iterator[tuple[float, float, list[Result]]]:
    """Divide the measured time into equal bins; yield (middle in s, width in s, results) of each.

    A result belongs to the bin in which its request ended.
    """
    window = measurement.window
    count = max(1, min(_MAX_BINS, int(window.seconds * 2)))
    width = max(window.seconds, 1e-3) / count
    bins: list[list[Result]] = [[] for _ in range(count)]
    for result in measurement.results:
        if result.finished in window:
            index = int((result.finished - window.start) / width)
            bins[min(index, count - 1)].append(result)
    for i, bin_ in enumerate(bins):
        yield (i + 0.5) * width, width, bin_


def _seconds(measurement: Measurement) -> list[tuple[float, str]]:
    return [(second, f"{second:g} s") for second in _ticks(measurement.window.seconds)]


def _ticks(highest: float) -> list[float]:
    step = nice_step(highest)
    return [i * step for i in range(int(highest / step + 1e-6) + 1)]
