"""Writes the generated files: Grafana's dashboards and the operator's PrometheusRule.

It also writes the addresses of the runbooks into rules.yml. `make dashboards` runs this program;
site.yml has its settings.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard
from links import RUNBOOKS
from quality import quality
from service import service

K8S = Path(__file__).parents[2]
RULES = K8S / "monitoring/prometheus/rules.yml"


def files() -> Mapping[Path, str]:
    """Return the text of each generated file."""
    dashboards = K8S / "monitoring/grafana/dashboards"
    rules = re.sub(r"runbook_url: \S+#", f"runbook_url: {RUNBOOKS}#", RULES.read_text())
    return {
        RULES: rules,
        dashboards / "service.json": _json(service()),
        dashboards / "quality.json": _json(quality()),
        K8S / "components/prometheus/prometheusrule.yaml": _rule(rules),
    }


def _json(dashboard: Dashboard) -> str:
    return JSONEncoder(sort_keys=True, indent=2).encode(dashboard) + "\n"


def _rule(rules: str) -> str:
    rule = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {
            "name": "photo-classifier",
            "labels": {"app.kubernetes.io/name": "photo-classifier"},
        },
        "spec": yaml.safe_load(rules),
    }
    head = "# `make dashboards` generates this file from monitoring/prometheus/rules.yml.\n"
    return head + yaml.safe_dump(rule, sort_keys=False, width=1000)


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text)
        print(path.relative_to(K8S.parent))
