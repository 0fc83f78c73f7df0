"""The page for who has been woken up names panels that exist, and leads to every alert."""

import re
from pathlib import Path

from dashboards import panels
from test_docs import rows

PAGE = Path(__file__).parents[1] / "docs/operate/alerts.md"
SIGNS = rows(PAGE, "| the dashboards show | it is | go to |")


def test_each_panel_that_is_named_exists() -> None:
    titles = {panel["title"] for panel in panels()}
    named = {name for seen, cause, _ in SIGNS for name in re.findall(r'"([^"]+)"', seen + cause)}
    assert len(named) > 8
    assert named <= titles


def test_the_signs_of_each_fault_stand_before_the_alerts() -> None:
    causes = " ".join(cause for _, cause, _ in SIGNS)
    for fault in ("neighbour", "bad model", "crash loop", "greedy caller", "full disk"):
        assert fault in causes
    assert all(re.findall(r"\(#classifier\w+\)", where) for *_, where in SIGNS)
    text = PAGE.read_text()
    assert text.index("| the dashboards show |") < text.index("### Classifier")


def test_each_page_alert_begins_with_what_to_look_at() -> None:
    """Each alert that wakes somebody has a command, or a panel to look at."""
    alerts = re.split(r"^### ", PAGE.read_text(), flags=re.MULTILINE)[1:]
    woken = [text for text in alerts if "\n\nPage. " in text]
    assert len(woken) > 5
    for text in woken:
        assert "kubectl " in text or "\nLook at " in text, text.partition("\n")[0]
