"""Writes the generated files: Grafana's dashboards and the operator's PrometheusRule.

`make dashboards` runs this program.
"""

from collections.abc import Mapping
from pathlib import Path

import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard
from quality import quality
from service import service

K8S = Path(__file__).parents[2]
RULES = K8S / "monitoring/prometheus/rules.yml"


def files() -> Mapping[Path, str]:
    """Return the text of each generated file."""
    dashboards = K8S / "monitoring/grafana/dashboards"
    return {
        dashboards / "service.json": _json(service()),
        dashboards / "quality.json": _json(quality()),
        K8S / "components/prometheus/prometheusrule.yaml": _rule(),
    }


def _json(dashboard: Dashboard) -> str:
    return JSONEncoder(sort_keys=True, indent=2).encode(dashboard) + "\n"


def _rule() -> str:
    rule = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {
            "name": "photo-classifier",
            "labels": {"app.kubernetes.io/name": "photo-classifier"},
        },
        "spec": yaml.safe_load(RULES.read_text()),
    }
    head = "# `make dashboards` generates this file from monitoring/prometheus/rules.yml.\n"
    return head + yaml.safe_dump(rule, sort_keys=False, width=1000)


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text)
        print(path.relative_to(K8S.parent))
