"""The panels of the dashboards: lines, a number, a heat map, a list of alerts."""

from collections.abc import Mapping
from string import ascii_uppercase
from typing import NamedTuple

from grafana_foundation_sdk.builders import common, heatmap, prometheus, stat, table, timeseries
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    BigValueTextMode,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
)
from grafana_foundation_sdk.models.dashboard import DataSourceRef, DataTransformerConfig
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from levels import Levels, Look
from links import RUNBOOKS, link, with_runbooks
from queries import increase

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")


class About(NamedTuple):
    """The description of a panel.

    Attributes:
        what: what the panel shows.
        usual: what it shows on a usual day.
        act: what to do if it shows something else.
    """

    what: str
    usual: str
    act: str

    def __str__(self) -> str:
        act = with_runbooks(self.act)
        return f"{self.what}\n\n**Usual:** {self.usual}\n\n**Otherwise:** {act}"


def lines(
    title: str,
    unit: str,
    queries: Mapping[str, str],
    about: About,
    levels: Levels | None = None,
) -> timeseries.Panel:
    """Return a panel with a line for each series of the queries, {legend: expression}.

    Args:
        title: the title.
        unit: Grafana's name of the unit.
        queries: the legends and expressions.
        about: the description.
        levels: if given, the panel draws a dashed line at each step.
    """
    legend = common.VizLegendOptions().display_mode(LegendDisplayMode.LIST)
    legend.placement(LegendPlacement.BOTTOM).show_legend(True)
    panel = timeseries.Panel().title(title).description(str(about)).datasource(SOURCE)
    panel.span(8).height(8).unit(unit).min(0).fill_opacity(10).legend(legend).no_value("no data")
    if levels:
        style = common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED)
        panel.thresholds(levels.thresholds()).thresholds_style(style)
    for letter, (name, expression) in zip(ascii_uppercase, queries.items(), strict=False):
        panel.with_target(query(expression, name).ref_id(letter))
    return panel


def traced(title: str, unit: str, expression: str, legend: str, about: About) -> timeseries.Panel:
    """Return a panel with lines, and with a dot for each exemplar, which leads to its trace."""
    panel = lines(title, unit, {}, about)
    return panel.with_target(query(expression, legend).exemplar(True).ref_id("A"))


def number(title: str, unit: str, expression: str, about: About, look: Look) -> stat.Panel:
    """Return a panel that shows the newest value in the colour of its level.

    Args:
        title: the title.
        unit: Grafana's name of the unit.
        expression: the expression, with one series.
        about: the description.
        look: the colours and texts.
    """
    panel = stat.Panel().title(title).description(str(about)).datasource(SOURCE)
    panel.span(4).height(4).unit(unit).thresholds(look.levels.thresholds())
    panel.mappings(look.mappings()).no_value(look.no_value).color_mode(BigValueColorMode.VALUE)
    panel.graph_mode(BigValueGraphMode.NONE).text_mode(BigValueTextMode.VALUE)
    return panel.with_target(query(expression, "").instant().ref_id("A"))


def name(title: str, expression: str, legend: str, about: About, look: Look) -> stat.Panel:
    """Return a panel that shows the legends of the series that exist now, not their values."""
    panel = number(title, "none", expression, about, look).text_mode(BigValueTextMode.NAME)
    return panel.targets([query(expression, legend).instant().ref_id("A")])


def heat(title: str, unit: str, histogram: str, about: About, labels: str = "") -> heatmap.Panel:
    """Return a heat map that shows how the distribution of a histogram changes over time."""
    colour = heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Blues")
    panel = heatmap.Panel().title(title).description(str(about)).datasource(SOURCE)
    panel.span(8).height(8).no_value("no data")
    panel.calculate(False).color(colour).y_axis(heatmap.YAxisConfig().unit(unit))
    target = query(increase(f"{histogram}_bucket", labels, "le"), "{{le}}")
    return panel.with_target(target.format(PromQueryFormat.HEATMAP).ref_id("A"))


def alerts(title: str, about: About) -> table.Panel:
    """Return a list of the alerts that fire."""
    panel = table.Panel().title(title).description(str(about)).datasource(SOURCE)
    panel.span(8).height(8).no_value("no alert fires").show_header(True)
    hidden = dict.fromkeys(("Time", "Value", "__name__", "alertstate", "job", "namespace"), True)
    panel.with_transformation(
        DataTransformerConfig(id_val="organize", options={"excludeByName": hidden})
    )
    panel.data_links([link("What to do", f"{RUNBOOKS}#alerts")])
    firing = 'ALERTS{alertname=~"Classifier.+", alertstate="firing"}'
    target = query(firing, "").instant().format(PromQueryFormat.TABLE)
    return panel.with_target(target.ref_id("A"))


def query(expression: str, legend: str) -> prometheus.Dataquery:
    """Return a query of Prometheus."""
    asked = prometheus.Dataquery().expr(expression).datasource(SOURCE)
    return asked.legend_format(legend) if legend else asked
