"""Every expression that a dashboard or a rule asks Prometheus, and the series in it."""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import promql_parser
import yaml

MONITORING = Path(__file__).parents[2] / "k8s/monitoring"
# What Grafana puts in place of its variables. A day's history is a few seconds here.
SUBSTITUTES = {
    "$__rate_interval": "10s",
    "$__interval": "1s",
    "$__range": "30s",
    "$instance": ".*",
    "offset 1d": "offset 5s",
}


class Expression(NamedTuple):
    """One expression, and where it stands."""

    place: str
    text: str


def panels() -> list[Expression]:
    """Return what the dashboards ask, with Grafana's variables put in."""
    return [
        Expression(f"{file.stem}: {panel['title']}: {target['refId']}", filled(target["expr"]))
        for file in sorted(MONITORING.glob("grafana/dashboards/*.json"))
        for panel in json.loads(file.read_text())["panels"]
        for target in panel.get("targets", ())
    ]


def rules() -> list[dict[str, Any]]:
    """Return the alerts and the recording rules."""
    groups = yaml.safe_load((MONITORING / "prometheus/rules.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def filled(expression: str) -> str:
    """Put in what Grafana would."""
    for variable, value in SUBSTITUTES.items():
        expression = expression.replace(variable, value)
    assert "$" not in expression, expression
    return expression


def selectors(expression: str) -> set[str]:
    """Return the series that an expression starts from, without their shift in time."""
    found: set[str] = set()

    def note(node: object) -> bool:
        if isinstance(node, promql_parser.MatrixSelector):
            node = node.vector_selector
        if isinstance(node, promql_parser.VectorSelector):
            found.add(re.sub(r" offset \w+", "", node.prettify()))
        return True

    promql_parser.walk(promql_parser.parse(expression), note)
    return found
