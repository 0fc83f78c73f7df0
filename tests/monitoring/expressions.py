"""Every expression that a dashboard or a rule sends to Prometheus, and its series."""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import promql_parser
import yaml

MONITORING = Path(__file__).parents[2] / "k8s/monitoring"
# The values that Grafana puts in for its variables. A day's history is shortened to a few seconds.
SUBSTITUTES = {
    "$__rate_interval": "10s",
    "$__interval": "1s",
    "$__range": "30s",
    "$instance": ".*",
    "offset 1d": "offset 5s",
}


class Expression(NamedTuple):
    """One expression, with the name of its panel or rule."""

    name: str
    text: str


def panels() -> list[Expression]:
    """Return the expressions of all dashboards, with values for Grafana's variables."""
    return [
        Expression(f"{file.stem}: {panel['title']}: {target['refId']}", filled(target["expr"]))
        for file in sorted(MONITORING.glob("grafana/dashboards/*.json"))
        for panel in json.loads(file.read_text())["panels"]
        for target in panel.get("targets", ())
    ]


def marks() -> list[Expression]:
    """Return the expressions of the marks on the time axes, once each."""
    found = {
        Expression(mark["name"], filled(mark["target"]["expr"]))
        for file in sorted(MONITORING.glob("grafana/dashboards/*.json"))
        for mark in json.loads(file.read_text())["annotations"]["list"]
    }
    return sorted(found)


def rules() -> list[dict[str, Any]]:
    """Return all alerts and recording rules."""
    groups = yaml.safe_load((MONITORING / "prometheus/rules.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def filled(expression: str) -> str:
    """Return an expression with values for Grafana's variables."""
    for variable, value in SUBSTITUTES.items():
        expression = expression.replace(variable, value)
    assert "$" not in expression, expression
    return expression


def selectors(expression: str) -> set[str]:
    """Return the selectors of an expression's series, without `offset`."""
    found: set[str] = set()

    def note(node: object) -> bool:
        if isinstance(node, promql_parser.MatrixSelector):
            node = node.vector_selector
        if isinstance(node, promql_parser.VectorSelector):
            found.add(re.sub(r" offset \w+", "", node.prettify()))
        return True

    promql_parser.walk(promql_parser.parse(expression), note)
    return found
