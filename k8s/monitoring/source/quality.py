"""The dashboard of the model: which one runs, whether it computes right, how certain it is."""

from board import board
from grafana_foundation_sdk.models.dashboard import Dashboard
from rows.certainty import DOUBT, MODEL, STRANGERS, SURENESS
from rows.checks import CHECKS, CLASSES


def quality() -> Dashboard:
    """Return the dashboard."""
    rows = {
        "Model": MODEL,
        "How certain the model is": SURENESS,
        "How undecided the model is": DOUBT,
        "What it does not know": STRANGERS,
        "What it answers": CLASSES,
        "Checks": CHECKS,
    }
    return board("Photo classifier: model quality", "photo-classifier-quality", rows)
