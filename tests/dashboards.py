"""The dashboards' files, and the colour in which Grafana shows a value."""

import json
import math
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "k8s/monitoring/grafana/dashboards"


def boards() -> list[dict[str, Any]]:
    """Return both dashboards."""
    return [json.loads(file.read_text()) for file in sorted(FOLDER.glob("*.json"))]


def panels(*kinds: str) -> list[dict[str, Any]]:
    """Return the panels of both dashboards, of some kinds or all but the rows."""
    found = [panel for board in boards() for panel in board["panels"]]
    return [p for p in found if p["type"] in kinds or (not kinds and p["type"] != "row")]


def colour_of(defaults: dict[str, Any], value: float) -> str:
    """Return the colour that Grafana gives a value: that of its mapping, or else of its level."""
    for mapping in defaults["mappings"]:
        options = mapping["options"]
        if mapping["type"] == "special":
            assert options["match"] == "null+nan"
            if math.isnan(value):
                return str(options["result"]["color"])
        elif result := options.get(f"{value:g}"):
            return str(result["color"])
    steps = defaults["thresholds"]["steps"]
    assert steps[0]["value"] is None
    return str([s["color"] for s in steps if s["value"] is None or s["value"] <= value][-1])


def text_of(defaults: dict[str, Any], value: float) -> str | None:
    """Return the text that a mapping gives a value; None if the value itself is shown."""
    for mapping in defaults["mappings"]:
        options = mapping["options"]
        if mapping["type"] == "special":
            if math.isnan(value):
                return str(options["result"]["text"])
        elif result := options.get(f"{value:g}"):
            return str(result["text"])
    return None
