"""Draws a dashboard's likeness from the data of a real Prometheus, with matplotlib."""

import io
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from dashboards import colour_of, text_of
from expressions import filled
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image, ImageColor
from prometheus import RunningPrometheus

COLOURS = {
    "green": "#56a64b",
    "yellow": "#e8b500",
    "orange": "#f2711c",
    "red": "#e02f44",
    "blue": "#3274d9",
    "purple": "#8f3bb8",
    "text": "#8e8e8e",
}
_COLUMNS, _DPI, _INCHES_HIGH = 24, 72, 0.24
_MOST_LABELS = 7
_PALETTE = 256
_BYTES = {"bytes": "B", "decbytes": "B", "Bps": "B/s"}
_STEPS = (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")


class Data(NamedTuple):
    """Where the values come from: a Prometheus, and the seconds that are drawn."""

    prometheus: RunningPrometheus
    start: float
    end: float

    def lately(self, expression: str) -> list[dict[str, Any]]:
        """Return the series of an expression over the time that is drawn."""
        return self.prometheus.lately(filled(expression), self.start, self.end)

    def last(self, expression: str) -> list[dict[str, Any]]:
        """Return the newest values of an expression."""
        return self.prometheus.now(filled(expression))


def draw(board: dict[str, Any], data: Data, file: Path) -> None:
    """Draw all panels of a dashboard where Grafana would put them."""
    panels = board["panels"]
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    mpl.rcParams.update({"font.size": 6.5, "axes.linewidth": 0.4, "lines.linewidth": 0.9})
    figure = Figure((14, rows * _INCHES_HIGH + 0.3), facecolor="white")
    top = rows + 1.2
    figure.text(0.008, 1 - 0.5 / top, board["title"], size=11, weight="bold", va="center")
    marks = [
        (mark["iconColor"], data.lately(mark["target"]["expr"]))
        for mark in board["annotations"]["list"]
    ]
    for panel in panels:
        place = panel["gridPos"]
        y = 1 - (place["y"] + 1.2) / top
        x = place["x"] / _COLUMNS
        if panel["type"] == "row":
            figure.text(0.008, y - 0.5 / top, panel["title"], size=9, weight="bold", va="center")
            continue
        width, height = place["w"] / _COLUMNS, place["h"] / top
        figure.text(x + 0.01, y - 0.35 / top, panel["title"], size=7.5, va="center", color="#333")
        box = (x + 0.033, y - height + 1.9 / top, width - 0.043, height - 2.8 / top)
        _DRAWERS[panel["type"]](figure.add_axes(box), panel, data)
        if panel["type"] == "timeseries":
            _mark(figure.axes[-1], marks, data)
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=_DPI, format="png")
    _few_colours(Image.open(buffer).convert("RGB")).save(file, optimize=True)


def _few_colours(picture: Image.Image) -> Image.Image:
    """Return the picture with 256 colours, which makes its file small; ours stay as they are."""
    exact = [channel for colour in COLOURS.values() for channel in ImageColor.getrgb(colour)]
    others = picture.quantize(_PALETTE - len(COLOURS)).getpalette() or []
    palette = Image.new("P", (1, 1))
    palette.putpalette(others[: 3 * _PALETTE - len(exact)] + exact)
    return picture.quantize(palette=palette, dither=Image.Dither.NONE)


def _lines(axes: Axes, panel: dict[str, Any], data: Data) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    count = 0
    for target in panel["targets"]:
        for series in data.lately(target["expr"]):
            times, values = _points(series, data)
            label = _legend(target.get("legendFormat", ""), series["metric"])
            axes.plot(times, values, label=label if count < _MOST_LABELS else None)
            count += 1
    _, highest = axes.get_ylim()
    for step in defaults.get("thresholds", {}).get("steps", ())[1:]:
        if step["value"] <= max(highest, 1e-9) * 1.2:
            axes.axhline(step["value"], color=COLOURS[step["color"]], dashes=(4, 3), linewidth=0.7)
    axes.set_ylim(0)
    _dress(axes, data, defaults.get("unit", "none"))
    labels = axes.get_legend_handles_labels()[1]
    if count:
        axes.legend(
            loc="upper center",
            bbox_to_anchor=(0.5, -0.1),
            ncols=4 if sum(map(len, labels)) < 60 else 2,
            frameon=False,
            fontsize=5.5,
            borderaxespad=0.1,
            handlelength=1,
            columnspacing=0.8,
        )
    else:
        axes.text(0.5, 0.5, defaults["noValue"], transform=axes.transAxes, ha="center")


def _number(axes: Axes, panel: dict[str, Any], data: Data) -> None:
    (target,), defaults = panel["targets"], panel["fieldConfig"]["defaults"]
    axes.axis("off")
    found = data.last(target["expr"])
    value = float(found[0]["value"][1]) if found else math.nan
    shown = text_of(defaults, value) or _with_unit(value, defaults["unit"])
    if panel["options"]["textMode"] == "name" and found:
        shown = "\n".join(_legend(target["legendFormat"], one["metric"]) for one in found)
    size = 20 if len(shown) < 12 else 9
    colour = COLOURS[colour_of(defaults, value)]
    axes.text(0.45, 0.5, shown, color=colour, size=size, ha="center", va="center", weight="bold")


def _heat(axes: Axes, panel: dict[str, Any], data: Data) -> None:
    (target,) = panel["targets"]
    found = data.lately(target["expr"])
    found.sort(key=lambda series: float(series["metric"]["le"]))
    sums = np.array([_points(series, data)[1] for series in found])
    rows = np.diff(sums, axis=0, prepend=0)
    axes.imshow(
        np.where(rows > 0, rows, np.nan),
        aspect="auto",
        origin="lower",
        cmap="Blues",
        extent=(0, data.end - data.start, 0, len(rows)),
        interpolation="nearest",
    )
    _dress(axes, data, "none")
    unit = panel["options"]["yAxis"]["unit"]
    ticks = range(0, len(rows), max(1, len(rows) // 5))
    axes.set_yticks([tick + 1 for tick in ticks])
    axes.set_yticklabels([_with_unit(float(found[tick]["metric"]["le"]), unit) for tick in ticks])


def _table(axes: Axes, panel: dict[str, Any], data: Data) -> None:
    (target,) = panel["targets"]
    axes.axis("off")
    hidden = panel["transformations"][0]["options"]["excludeByName"]
    found = [
        "   ".join(value for key, value in sorted(one["metric"].items()) if key not in hidden)
        for one in data.last(target["expr"])
    ]
    text = "\n\n".join(found) or panel["fieldConfig"]["defaults"]["noValue"]
    axes.text(0, 0.98, text, transform=axes.transAxes, va="top", size=7)


_DRAWERS: dict[str, Callable[[Axes, dict[str, Any], Data], None]] = {
    "timeseries": _lines,
    "stat": _number,
    "heatmap": _heat,
    "table": _table,
}


def _mark(axes: Axes, marks: Sequence[tuple[str, list[dict[str, Any]]]], data: Data) -> None:
    for colour, found in marks:
        times = {float(value) / 1000 for series in found for _, value in series["values"]}
        for time in times:
            if data.start <= time <= data.end:
                axes.axvline(time - data.start, color=COLOURS[colour], dashes=(2, 2), linewidth=0.7)


def _points(series: dict[str, Any], data: Data) -> tuple[list[int], list[float]]:
    """Return a value for each second; NaN where there is none, so that the line has a gap."""
    values = {round(time - data.start): float(value) for time, value in series["values"]}
    seconds = [*range(int(data.end - data.start) + 1)]
    return seconds, [values.get(second, math.nan) for second in seconds]


def _legend(form: str, labels: dict[str, str]) -> str:
    for name, value in labels.items():
        form = form.replace(f"{{{{{name}}}}}", value)
    return form


def _dress(axes: Axes, data: Data, unit: str) -> None:
    axes.set_xlim(0, data.end - data.start)
    axes.xaxis.set_major_formatter(lambda second, _: f"{second // 60:.0f}:{second % 60:02.0f}")
    axes.yaxis.set_major_formatter(lambda value, _: _with_unit(value, unit))
    axes.tick_params(length=2, width=0.4, labelsize=5.5, pad=1.5)
    axes.grid(linewidth=0.3, color="#ddd")
    axes.spines[["top", "right"]].set_visible(False)


def _with_unit(value: float, unit: str) -> str:
    """Return a value about as Grafana writes it."""
    if math.isinf(value):
        return "∞"
    if unit == "percentunit":
        return f"{_short(100 * value)} %"
    if unit == "s":
        return f"{_short(value)} s" if value >= 1 or value == 0 else f"{_short(1000 * value)} ms"
    if unit in _BYTES:
        for step, letter in _STEPS:
            if value >= step:
                return f"{_short(value / step)} {letter}{_BYTES[unit]}"
        return f"{_short(value)} {_BYTES[unit]}"
    return _short(value) + (" req/s" if unit == "reqps" else "")


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
