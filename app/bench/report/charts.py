"""Line charts as inline SVG."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape

_WIDTH, _HEIGHT = 860, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 72, 16, 14, 34

Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """A named line. `kind` is its CSS class: good or bad."""

    name: str
    kind: str
    points: Sequence[Point]


@dataclass(frozen=True)
class Chart:
    """Lines over a common x axis. The y axis begins at 0. `ticks` are x values with labels."""

    title: str
    unit: str
    lines: Sequence[Line]
    ticks: Sequence[tuple[float, str]]

    def svg(self) -> str:
        """Return the chart as an HTML `<figure>` with its legend."""
        legend = "".join(
            f'<span class="{line.kind}">{escape(line.name)}</span>' for line in self.lines
        )
        return (
            f"<figure><figcaption><b>{escape(self.title)}</b>{legend}</figcaption>"
            f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(self.title)}">'
            f"{''.join(self._grid())}{''.join(self._paths())}</svg></figure>"
        )

    @cached_property
    def _span(self) -> tuple[float, float]:
        values = [x for line in self.lines for x, _ in line.points]
        values += [value for value, _ in self.ticks]
        return min(values, default=0), max(values, default=1)

    @cached_property
    def _top(self) -> float:
        highest = max((y for line in self.lines for _, y in line.points), default=0)
        step = nice_step(highest)
        return step * max(1, math.ceil(highest / step))

    def _grid(self) -> Iterator[str]:
        step = nice_step(self._top)
        for i in range(round(self._top / step) + 1):
            y = self._y(i * step)
            label = f"{i * step:g}" + (f" {self.unit}" if i * step >= self._top else "")
            yield f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            yield f'<text class="y" x="{_LEFT - 8}" y="{y + 4:.1f}">{escape(label)}</text>'
        for value, label in self.ticks:
            x, bottom = self._x(value), _HEIGHT - _BOTTOM
            yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{bottom}" y2="{bottom + 5}"/>'
            yield f'<text class="x" x="{x:.1f}" y="{bottom + 20}">{escape(label)}</text>'

    def _paths(self) -> Iterator[str]:
        for line in self.lines:
            if line.points:
                points = " ".join(f"{self._x(x):.1f},{self._y(y):.1f}" for x, y in line.points)
                yield f'<polyline class="{line.kind}" points="{points}"/>'

    def _x(self, x: float) -> float:
        low, high = self._span
        return _LEFT + (x - low) / ((high - low) or 1) * (_WIDTH - _LEFT - _RIGHT)

    def _y(self, y: float) -> float:
        return _HEIGHT - _BOTTOM - y / self._top * (_HEIGHT - _TOP - _BOTTOM)


def nice_step(highest: float) -> float:
    """Return 1, 2 or 5 times a power of ten, so that four to ten steps reach `highest`."""
    if highest <= 0:
        return 1.0
    power = 10 ** math.floor(math.log10(highest / 4))
    return float(power * max(m for m in (1, 2, 5) if m * power <= highest / 4))
