"""Charts as inline SVG. The browser draws their letters, and they follow its colours."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from app.training.evaluation.accuracy import Reliability
from app.training.evaluation.intervals import wilson
from app.training.report.markup import Markup, tag

# The width of a phone, so that the letters have their natural size there.
_WIDTH, _HEIGHT = 380, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 24, 22, 34

Point = tuple[float, float]


class Line(NamedTuple):
    """A named line; `colour` is blue, orange or dim."""

    name: str
    colour: str
    points: Sequence[Point]


class Frame(NamedTuple):
    """The area of a chart, and the range of its axes."""

    left: float
    right: float
    bottom: float
    top: float

    def x(self, value: float) -> float:
        """Return where `value` lies, in the units of the drawing."""
        share = (value - self.left) / ((self.right - self.left) or 1)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        """Return where `value` lies, in the units of the drawing."""
        share = (value - self.bottom) / ((self.top - self.bottom) or 1)
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)


def curves(
    title: str, lines: Sequence[Line], best: float, phases: Sequence[float], percent: bool = False
) -> Markup:
    """Return the chart of values by epoch.

    Args:
        title: what is drawn.
        lines: the values; x is the number of the epoch.
        best: the epoch that is marked.
        phases: where a dotted line shows that another phase begins.
        percent: whether the values are shares, 0 to 1.
    """
    values = [y for line in lines for _, y in line.points if math.isfinite(y)]
    last = max((x for line in lines for x, _ in line.points), default=1)
    step = nice_step(max(values, default=1) - (min(values, default=0) if percent else 0))
    low = step * math.floor(min(values, default=0) / step) if percent else 0
    high = max(step * math.ceil(max(values, default=1) / step - 1e-9), low + step)
    frame = Frame(1, max(last, 2), low, high)
    ticks = [low + i * step for i in range(round((high - low) / step) + 1)]
    parts = [
        *_rows(frame, [(y, f"{y:.3g}" if not percent else f"{100 * y:g} %") for y in ticks]),
        *_columns(frame, [(x, f"{x:g}") for x in _epochs(last)]),
        *(_upright(frame, x, "phase") for x in phases),
        _upright(frame, best, "mark"),
        *(_curve(frame, line) for line in lines),
    ]
    x = frame.x(best)
    end = "end" if x > _WIDTH / 2 else ""
    label = tag("text", f"best: {best:g}", x=f"{x + (-4 if end else 4):.1f}", y=12, class_=end)
    return _figure(title, lines, _svg(title, *parts, label), "epoch")


def calibration(reliability: Reliability) -> Markup:
    """Return the chart of accuracy by score, with the number of photos at each point.

    The upright lines are 95 % Wilson intervals, so few photos show as a long line.
    """
    frame = Frame(0, 1, 0, 1)
    ticks = [(i / 5, f"{20 * i} %") for i in range(6)]
    parts = [
        *_rows(frame, ticks),
        *_columns(frame, ticks),
        tag("line", x1=frame.x(0), y1=frame.y(0), x2=frame.x(1), y2=frame.y(1), class_="mark"),
    ]
    most = max(reliability.photos.max(), 1)
    for photos, score, accuracy in zip(*reliability, strict=True):
        if photos:
            x, y = frame.x(score), frame.y(accuracy)
            low, high = wilson(round(accuracy * photos), int(photos))
            radius = 2.5 + 5 * math.sqrt(photos / most)
            name = f"{photos} photos: mean score {score:.1%}, right {accuracy:.1%}"
            ends = {"y1": f"{frame.y(low):.1f}", "y2": f"{frame.y(high):.1f}"}
            parts += [
                tag("line", x1=f"{x:.1f}", x2=f"{x:.1f}", class_="error", **ends),
                tag("circle", tag("title", name), cx=f"{x:.1f}", cy=f"{y:.1f}", r=f"{radius:.1f}"),
                tag(
                    "text",
                    str(photos),
                    x=f"{x:.1f}",
                    y=f"{y - radius - 3:.1f}",
                    class_="middle",
                ),
            ]
    title = "Right answers by score"
    body = tag("g", *parts, class_="blue")
    return _figure(title, (), _svg(title, body), "score of the likeliest class")


def _figure(title: str, lines: Sequence[Line], svg: Markup, axis: str) -> Markup:
    names = (tag("span", line.name, class_=line.colour) for line in lines)
    legend = tag("div", tag("b", title), *names, class_="legend")
    return tag("figure", legend, svg, tag("figcaption", tag("small", f"across: {axis}")))


def _svg(title: str, *parts: str) -> Markup:
    view = {"viewBox": f"0 0 {_WIDTH} {_HEIGHT}", "role": "img", "aria-label": title}
    return tag("svg", *parts, **view)


def _curve(frame: Frame, line: Line) -> Markup:
    points = [(frame.x(x), frame.y(y), x, y) for x, y in line.points if math.isfinite(y)]
    joined = " ".join(f"{x:.1f},{y:.1f}" for x, y, *_ in points)
    dots = (
        tag("circle", tag("title", f"epoch {at:g}: {value:.4g}"), cx=f"{x:.1f}", cy=f"{y:.1f}", r=2)
        for x, y, at, value in points
    )
    return tag("g", tag("polyline", points=joined), *dots, class_=line.colour)


def _rows(frame: Frame, ticks: Sequence[tuple[float, str]]) -> Iterator[Markup]:
    for value, label in ticks:
        y = frame.y(value)
        yield tag("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=f"{y:.1f}", y2=f"{y:.1f}")
        yield tag("text", label, x=_LEFT - 6, y=f"{y + 4:.1f}", class_="end")


def _columns(frame: Frame, ticks: Sequence[tuple[float, str]]) -> Iterator[Markup]:
    bottom = _HEIGHT - _BOTTOM
    for value, label in ticks:
        x = f"{frame.x(value):.1f}"
        yield tag("line", x1=x, x2=x, y1=bottom, y2=bottom + 4)
        yield tag("text", label, x=x, y=bottom + 18, class_="middle")


def _upright(frame: Frame, value: float, kind: str) -> Markup:
    x = f"{frame.x(value):.1f}"
    return tag("line", x1=x, x2=x, y1=_TOP, y2=_HEIGHT - _BOTTOM, class_=kind)


def _epochs(last: float) -> list[float]:
    step = max(1, round(nice_step(last)))
    return [1, *(x for x in range(step, int(last) + 1, step) if x > 1)]


def nice_step(span: float) -> float:
    """Return 1, 2 or 5 times a power of ten, so that three to eight steps make up `span`."""
    if not 0 < span < math.inf:
        return 1.0
    power = 10 ** math.floor(math.log10(span / 3))
    return float(power * max(m for m in (1, 2, 5) if m * power <= span / 3))
