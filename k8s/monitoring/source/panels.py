"""The panels of the dashboards: lines, a number, a heat map."""

from collections.abc import Mapping, Sequence
from string import ascii_uppercase

from grafana_foundation_sdk.builders import common, dashboard, heatmap, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.common import (
    BigValueTextMode,
    LegendDisplayMode,
    LegendPlacement,
)
from grafana_foundation_sdk.models.dashboard import (
    Dashboard,
    DashboardCursorSync,
    DataSourceRef,
    Panel,
    VariableOption,
    VariableRefresh,
)
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from queries import increase

_SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")


def lines(title: str, unit: str, queries: Mapping[str, str]) -> timeseries.Panel:
    """Return a panel with a line for each series of the queries, {legend: expression}."""
    legend = common.VizLegendOptions().display_mode(LegendDisplayMode.LIST)
    legend.placement(LegendPlacement.BOTTOM).show_legend(True)
    panel = timeseries.Panel().title(title).datasource(_SOURCE).span(8).height(8)
    panel.unit(unit).min(0).fill_opacity(10).legend(legend)
    for letter, (name, expression) in zip(ascii_uppercase, queries.items(), strict=False):
        panel.with_target(_query(expression, name).ref_id(letter))
    return panel


def number(title: str, unit: str, expression: str, legend: str = "") -> stat.Panel:
    """Return a panel that shows the newest value, or the legend if there is one."""
    panel = stat.Panel().title(title).datasource(_SOURCE).span(4).height(4).unit(unit)
    panel.text_mode(BigValueTextMode.NAME if legend else BigValueTextMode.AUTO)
    return panel.with_target(_query(expression, legend).instant().ref_id("A"))


def heat(title: str, unit: str, histogram: str, labels: str = "") -> heatmap.Panel:
    """Return a heat map that shows how the distribution of a histogram changes over time."""
    colour = heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Blues")
    panel = heatmap.Panel().title(title).datasource(_SOURCE).span(8).height(8)
    panel.calculate(False).color(colour).y_axis(heatmap.YAxisConfig().unit(unit))
    query = _query(increase(f"{histogram}_bucket", labels, "le"), "{{le}}")
    return panel.with_target(query.format(PromQueryFormat.HEATMAP).ref_id("A"))


def board(title: str, uid: str, rows: Mapping[str, Sequence[Builder[Panel]]]) -> Dashboard:
    """Return a dashboard: named rows of panels, with menus for the data source and the pods."""
    built = dashboard.Dashboard(title).uid(uid).tags(["photo-classifier"])
    built.time("now-3h", "now").refresh("30s").tooltip(DashboardCursorSync.CROSSHAIR)
    built.variables([_data_source(), _instances()])
    for name, panels in rows.items():
        built.with_row(dashboard.Row(name))
        for panel in panels:
            built.with_panel(panel)
    whole = built.build()
    for panel_id, built_panel in enumerate(whole.panels or (), start=1):
        built_panel.id_val = panel_id
    return whole


def _query(expression: str, legend: str) -> prometheus.Dataquery:
    query = prometheus.Dataquery().expr(expression).datasource(_SOURCE)
    return query.legend_format(legend) if legend else query


def _data_source() -> dashboard.DatasourceVariable:
    return dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")


def _instances() -> dashboard.QueryVariable:
    variable = dashboard.QueryVariable("instance").label("Pod").datasource(_SOURCE)
    variable.query("label_values(classifier_ready, instance)")
    variable.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED).multi(True)
    everything = VariableOption(selected=True, text="All", value="$__all")
    return variable.include_all(True).all_value(".*").current(everything)
