"""The dashboards do not mislead: colours at 0, at usual and at bad values, and descriptions.

The colours are worked out from the files as Grafana does it: a mapping first, then the thresholds.
"""

import json
import math
import re
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest
from dashboards import FOLDER, boards, colour_of, panels

GREEN, YELLOW, RED, BLUE, GREY = "green", "yellow", "red", "blue", "text"


class Shown(NamedTuple):
    """A value of a number's panel, and the colour in which it must appear."""

    title: str
    value: float
    colour: str


SHOWN = (
    Shown("Pods that are ready", 0, RED),
    Shown("Pods that are ready", 1, YELLOW),
    Shown("Pods that are ready", 2, GREEN),
    Shown("Pods that are ready", 10, GREEN),
    Shown("Photos received", 0, GREY),
    Shown("Photos received", 80, BLUE),
    Shown("Photos received", 2000, BLUE),
    Shown("Photos failed (5xx)", 0, GREEN),
    Shown("Photos failed (5xx)", 0.0005, GREEN),
    Shown("Photos failed (5xx)", 0.002, YELLOW),
    Shown("Photos failed (5xx)", 1, RED),
    Shown("Photos refused (429)", 0, GREEN),
    Shown("Photos refused (429)", 0.02, YELLOW),
    Shown("Photos refused (429)", 1, RED),
    Shown("99 % answered within", 0, GREEN),
    Shown("99 % answered within", 0.05, GREEN),
    Shown("99 % answered within", 0.45, YELLOW),
    Shown("99 % answered within", 2, RED),
    Shown("Error budget left: failures", 0, RED),
    Shown("Error budget left: failures", -0.5, RED),
    Shown("Error budget left: failures", 0.3, YELLOW),
    Shown("Error budget left: failures", 0.9, GREEN),
    Shown("Error budget left: slow answers", 0, RED),
    Shown("Error budget left: slow answers", -2, RED),
    Shown("Error budget left: slow answers", 0.3, YELLOW),
    Shown("Error budget left: slow answers", 1, GREEN),
    Shown("Version", 0, BLUE),
    Shown("Version", 10, BLUE),
    Shown("Model", 0, BLUE),
    Shown("Model", 10, BLUE),
    Shown("Golden answers", 0, RED),
    Shown("Golden answers", 1, GREEN),
    Shown("Median of the best score", 0, RED),
    Shown("Median of the best score", 0.3, YELLOW),
    Shown("Median of the best score", 0.6, GREEN),
    Shown("Median of the entropy", 0, GREEN),
    Shown("Median of the entropy", 0.2, GREEN),
    Shown("Median of the entropy", 0.5, YELLOW),
    Shown("Median of the entropy", 0.9, RED),
    Shown("Photos answered", 0, GREY),
    Shown("Photos answered", 80, BLUE),
)


@pytest.mark.parametrize("shown", SHOWN, ids=lambda shown: f"{shown.title}: {shown.value}")
def test_a_value_has_the_colour_that_it_deserves(shown: Shown) -> None:
    (panel,) = (panel for panel in panels("stat") if panel["title"] == shown.title)
    assert colour_of(panel["fieldConfig"]["defaults"], shown.value) == shown.colour


def test_each_number_is_tried_at_0_and_at_other_values() -> None:
    for panel in panels("stat"):
        tried = [shown.value for shown in SHOWN if shown.title == panel["title"]]
        assert 0 in tried, panel["title"]
        assert len(tried) > 1, panel["title"]


@pytest.mark.parametrize("panel", panels("stat"), ids=lambda panel: str(panel["title"]))
def test_a_number_says_in_grey_that_there_is_none(panel: dict[str, Any]) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    assert defaults["noValue"]
    assert defaults["mappings"][0]["options"]["result"]["text"] == defaults["noValue"]
    assert colour_of(defaults, math.nan) == GREY
    values = [step["value"] for step in defaults["thresholds"]["steps"][1:]]
    assert values == sorted(values)
    assert panel["options"]["colorMode"] == "value"


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: str(panel["title"]))
def test_each_panel_says_what_it_is_what_is_usual_and_what_to_do(panel: dict[str, Any]) -> None:
    what, usual, act = panel["description"].split("\n\n")
    assert what.endswith(".")
    assert usual.startswith("**Usual:** ")
    assert act.startswith("**Otherwise:** ")
    assert min(len(what), len(usual), len(act)) > len("**Otherwise:** ")


def test_each_alert_in_a_description_leads_to_its_runbook() -> None:
    rules = (FOLDER.parents[1] / "prometheus/rules.yml").read_text()
    pages = dict(re.findall(r"- alert: (\w+)(?:.|\n)+?runbook_url: (\S+)", rules))
    named = 0
    for panel in panels():
        text = panel["description"]
        for name, page in re.findall(r"\[(Classifier\w+)\]\((\S+?)\)", text):
            assert pages[name] == page
            named += 1
        assert not re.search(r"(?<!\[)\bClassifier[A-Z]", text), panel["title"]
    assert named > 10


@pytest.mark.parametrize("board", boards(), ids=lambda board: str(board["uid"]))
def test_each_dashboard_leads_to_the_other_to_logs_traces_and_runbooks(
    board: dict[str, Any],
) -> None:
    links = {link["title"]: link for link in board["links"]}
    assert links["Dashboards"]["tags"] == board["tags"]
    assert links["Dashboards"]["keepTime"]
    assert links["Dashboards"]["includeVars"]
    assert links["Runbooks"]["url"].startswith("https://")
    kinds = {one["name"]: one["query"] for one in board["templating"]["list"]}
    assert (kinds["logs"], kinds["traces"]) == ("loki", "tempo")
    for title, source in (("Logs", "${logs}"), ("Traces", "${traces}")):
        pane = explored(links[title]["url"])
        assert pane["datasource"] == source
        assert pane["range"] == {"from": "${__from}", "to": "${__to}"}
        (query,) = pane["queries"]
        assert "classifier" in query.get("expr", query.get("query"))


def test_panels_lead_to_logs_and_traces() -> None:
    by_title = {panel["title"]: panel for panel in panels("timeseries")}
    (to_logs,) = by_title["Photos by outcome"]["fieldConfig"]["defaults"]["links"]
    (query,) = explored(to_logs["url"])["queries"]
    assert 'outcome="${__field.labels.reason:percentencode}"' in query["expr"]
    (to_traces,) = by_title["From the upload's end to the answer"]["fieldConfig"]["defaults"][
        "links"
    ]
    (query,) = explored(to_traces["url"])["queries"]
    assert query["query"].endswith("&& duration > 500ms}")
    assert [t["exemplar"] for p in panels() for t in p.get("targets", ()) if t.get("exemplar")]


def explored(address: str) -> dict[str, Any]:
    """Return the only pane of an address of Grafana's Explore."""
    parameters = parse_qs(urlsplit(address).query)
    (pane,) = json.loads(parameters["panes"][0]).values()
    return dict(pane)


def test_no_line_panel_keeps_the_thresholds_that_grafana_would_add() -> None:
    """Without steps of our own, Grafana draws one at 80."""
    for panel in panels("timeseries"):
        defaults = panel["fieldConfig"]["defaults"]
        drawn = defaults["custom"].get("thresholdsStyle", {}).get("mode")
        assert (drawn == "dashed") == ("thresholds" in defaults), panel["title"]
