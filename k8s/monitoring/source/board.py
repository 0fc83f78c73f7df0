"""A dashboard: named rows of panels, with its menus, links and marks."""

from collections.abc import Mapping, Sequence

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import (
    Dashboard,
    DashboardCursorSync,
    Panel,
    VariableOption,
    VariableRefresh,
)
from grafana_foundation_sdk.models.table import Options as TableOptions
from links import TAG, dashboards, sources
from marks import MARKS
from panels import SOURCE

Rows = Mapping[str, Sequence[Builder[Panel]]]


def board(title: str, uid: str, rows: Rows) -> Dashboard:
    """Return a dashboard: named rows of panels, with menus for the data source and the pods."""
    built = dashboard.Dashboard(title).uid(uid).tags([TAG])
    built.time("now-3h", "now").refresh("30s").tooltip(DashboardCursorSync.CROSSHAIR)
    built.variables([_data_source(), _instances(), *sources()])
    built.links([*dashboards()]).annotations([*MARKS])
    for name, panels in rows.items():
        built.with_row(dashboard.Row(name))
        for panel in panels:
            built.with_panel(panel)
    whole = built.build()
    for panel_id, built_panel in enumerate(whole.panels or (), start=1):
        built_panel.id_val = panel_id
    _leave_out_old_fields(whole)
    return whole


def _leave_out_old_fields(whole: Dashboard) -> None:
    """Leave out what the SDK, made for Grafana 11, writes and the types of Grafana 13 forbid."""
    for variable in (whole.templating and whole.templating.list_val) or ():
        variable.auto = variable.auto_min = variable.auto_count = None
    for panel in whole.panels or ():
        if isinstance(panel, Panel) and isinstance(panel.options, TableOptions):
            panel.options.footer = None


def _data_source() -> dashboard.DatasourceVariable:
    return dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")


def _instances() -> dashboard.QueryVariable:
    variable = dashboard.QueryVariable("instance").label("Pod").datasource(SOURCE)
    variable.query("label_values(classifier_ready, instance)")
    variable.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED).multi(True)
    everything = VariableOption(selected=True, text="All", value="$__all")
    return variable.include_all(True).all_value(".*").current(everything)
