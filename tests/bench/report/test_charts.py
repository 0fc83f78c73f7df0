"""Charts as SVG, and the steps of their axes."""

import re

import pytest

from app.bench.report.charts import Chart, Line, nice_step


def test_a_chart_holds_its_points() -> None:
    line = Line("a < b", "good", [(0, 0), (1, 90), (2, 200)])
    svg = Chart("t", "ms", [line], [(0, "0 s"), (2, "2 s")]).svg()
    points = re.search('points="(.+?)"', svg)
    assert points
    heights = [float(point.split(",")[1]) for point in points[1].split()]
    assert heights == sorted(heights, reverse=True)
    assert "a &lt; b" in svg
    assert "200 ms" in svg


@pytest.mark.parametrize(("highest", "step"), [(0, 1), (4, 1), (10, 2), (350, 50), (0.09, 0.02)])
def test_steps_of_an_axis(highest: float, step: float) -> None:
    assert nice_step(highest) == pytest.approx(step)
