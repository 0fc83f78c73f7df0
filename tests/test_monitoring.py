"""The dashboards and rules are up to date, and each alert has its entry in the guide."""

import re
from pathlib import Path

import generate
import yaml
from links import RUNBOOKS

from app.telemetry.metrics import Metrics

ROOT = Path(__file__).parents[1]
RULES = ROOT / "k8s/monitoring/prometheus/rules.yml"
GUIDE = (ROOT / "docs/operate/alerts.md").read_text()
SUFFIX = re.compile(r"_(bucket|sum|count|total|info)$")


def test_what_is_made_was_made_anew() -> None:
    for path, text in generate.files().items():
        assert path.read_text() == text, f"{path.name} is out of date: run `make dashboards`"


def test_each_alert_has_its_entry_in_the_guide() -> None:
    anchors = {
        re.sub(r"[^\w -]", "", title).lower().replace(" ", "-")
        for title in re.findall(r"^#+ (.+)$", GUIDE, re.MULTILINE)
    }
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            if "alert" in rule:
                page, anchor = rule["annotations"]["runbook_url"].split("#")
                assert page == RUNBOOKS
                assert page.startswith("https://")
                assert page.endswith("docs/operate/alerts.md")
                assert anchor == rule["alert"].lower()
                assert anchor in anchors, anchor
                severity = rule["labels"]["severity"].capitalize()
                assert f"### {rule['alert']}\n\n{severity}. " in GUIDE


def test_only_metrics_that_exist_are_asked_for() -> None:
    """The names are compared without their suffixes. `make monitoring` asks a real Prometheus."""
    known = {family.name for family in Metrics().registry.collect()}
    asked = {
        SUFFIX.sub("", name)
        for text in generate.files().values()
        for name in re.findall(r"\bclassifier_\w+", text)
    }
    assert len(asked) > 20
    assert asked <= known
