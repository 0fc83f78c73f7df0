"""The dashboard of the service: from its promises down to its processes."""

from board import board
from grafana_foundation_sdk.models.dashboard import Dashboard
from rows.answers import ANSWERS, LATENCY
from rows.clients import CLIENTS
from rows.overview import AT_A_GLANCE, PROMISES
from rows.processes import PROCESSES, WORKERS
from rows.saturation import BATCHES, SATURATION


def service() -> Dashboard:
    """Return the dashboard."""
    rows = {
        "At a glance": AT_A_GLANCE,
        "Promises": PROMISES,
        "Answers": ANSWERS,
        "What the clients send": CLIENTS,
        "Latency": LATENCY,
        "Saturation": SATURATION,
        "Batches": BATCHES,
        "Workers": WORKERS,
        "Processes": PROCESSES,
    }
    return board("Photo classifier: service", "photo-classifier-service", rows)
