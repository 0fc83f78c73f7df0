"""The links that lead from the dashboards to each other, to logs, to traces and to runbooks."""

import json
import re
from pathlib import Path
from urllib.parse import quote

import yaml
from grafana_foundation_sdk.builders.dashboard import DashboardLink, DatasourceVariable
from grafana_foundation_sdk.models.dashboard import DashboardLinkType

TAG = "photo-classifier"
_SITE = yaml.safe_load((Path(__file__).parent / "site.yml").read_text())
RUNBOOKS: str = _SITE["runbooks"]
_SERVICE = f'resource.service.name="{_SITE["traces"]}"'
_ALERT = re.compile(r"\bClassifier[A-Z]\w+")
_VARIABLE = re.compile(r"(\$\{[^}]+\})")


def dashboards() -> list[DashboardLink]:
    """Return the links at the top of each dashboard."""
    others = DashboardLink("Dashboards").type(DashboardLinkType.DASHBOARDS).tags([TAG])
    others.include_vars(True).keep_time(True)
    return [
        others,
        _outward("Logs", logs()).tooltip("The service's log in Loki"),
        _outward("Traces", traces()).tooltip("The service's traces in Tempo"),
        _outward("Runbooks", f"{RUNBOOKS}#alerts").tooltip("What to do for each alert"),
    ]


def sources() -> list[DatasourceVariable]:
    """Return the menus that name the data sources of logs and traces."""
    return [
        DatasourceVariable("logs").label("Logs").type("loki"),
        DatasourceVariable("traces").label("Traces").type("tempo"),
    ]


def logs(condition: str = "") -> str:
    """Return the address of the log lines for which a condition in LogQL is true."""
    query = f"{_SITE['logs']} | json" + (f" | {condition}" if condition else "")
    return _explore("${logs}", {"refId": "A", "expr": query, "queryType": "range"})


def traces(condition: str = "") -> str:
    """Return the address of the traces for which a condition in TraceQL is true."""
    query = f"{{{_SERVICE}{condition and ' && '}{condition}}}"
    return _explore("${traces}", {"refId": "A", "query": query, "queryType": "traceql"})


def link(title: str, address: str) -> DashboardLink:
    """Return a link for the menu of a panel's series."""
    return DashboardLink(title).url(address).target_blank(True)


def with_runbooks(text: str) -> str:
    """Return Markdown in which each alert's name leads to its runbook."""
    return _ALERT.sub(lambda found: f"[{found[0]}]({RUNBOOKS}#{found[0].lower()})", text)


def _outward(title: str, address: str) -> DashboardLink:
    return link(title, address).type(DashboardLinkType.LINK).icon("external link")


def _explore(source: str, query: dict[str, str]) -> str:
    """Return the address of a query in Grafana's Explore, for the time of the dashboard."""
    query_with_source = {**query, "datasource": {"uid": source}}
    pane = {
        "datasource": source,
        "queries": [query_with_source],
        "range": {"from": "${__from}", "to": "${__to}"},
    }
    # Grafana puts in its variables only where their braces are not escaped.
    pieces = _VARIABLE.split(json.dumps({"a": pane}, separators=(",", ":")))
    escaped = (piece if _VARIABLE.match(piece) else quote(piece, safe="") for piece in pieces)
    return f"/explore?schemaVersion=1&orgId=1&panes={''.join(escaped)}"
