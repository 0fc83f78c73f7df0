"""Our writer of the metrics writes what the client library would write, and is quick."""

import time
from collections.abc import Callable

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.openmetrics import exposition as library
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from app.telemetry.answers import AnswersByClass
from app.telemetry.exposition import open_metrics, text
from app.telemetry.metrics import Metrics

EXEMPLAR = {"trace_id": "0af7651916cd43dd8448eb211c80319c", "request_id": "a-request"}
# Each process has other values at each scrape.
CHANGING = b"process_"


@pytest.fixture(scope="module")
def metrics() -> Metrics:
    """The metrics of a service that has done everything that it can do."""
    metrics = Metrics()
    statuses = (200, 400, 401, 404, 408, 413, 415, 422, 429, 500, 503, 504)
    for status in statuses:
        for route in ("/predict", "/explain", "/embed", "/health"):
            metrics.requests.labels("POST", route, str(status), "own").inc()
            metrics.request_seconds.labels(route).observe(0.01)
        metrics.outcomes.labels(f"outcome of {status}").inc()
    stages = dict.fromkeys(("decode", "queue", "inference", "total"), 0.02)
    metrics.observe_answer(np.array([0.25, 0.75], np.float32), stages)
    metrics.observe_batch_sizes(8, {1: 0.01, 2: 0.02, 4: 0.04, 8: 0.08})
    for form in ("JPEG", "PNG", "WEBP", "HEIF"):
        metrics.observe_photo(50_000, 200_000, form)
    for key in range(10):
        metrics.key_requests.labels(f"key {key}").inc()
    AnswersByClass(metrics.answers, 50, str)
    metrics.model.info({"name": "a", "version": "b"})
    metrics.build.info({"version": "0"})
    return metrics


def lines(written: bytes) -> list[bytes]:
    return [line for line in written.splitlines() if not line.startswith(CHANGING)]


def test_the_text_is_that_of_the_library(metrics: Metrics) -> None:
    assert lines(text(metrics.registry)) == lines(generate_latest(metrics.registry))


def test_open_metrics_is_that_of_the_library(metrics: Metrics) -> None:
    written = library.generate_latest(metrics.registry)  # type: ignore[no-untyped-call]
    assert lines(open_metrics(metrics.registry)) == lines(written)


def test_odd_labels_and_values_are_written_as_the_library_does() -> None:
    registry = CollectorRegistry()
    gauge = Gauge("odd", 'Back\\slash,\nnew line and "quotes".', ("b", "a"), registry=registry)
    for i, value in enumerate((float("inf"), float("-inf"), float("nan"), 1e-9, 123456789.0)):
        gauge.labels('"\\\n' + str(i), "ä").set(value)
    assert text(registry) == generate_latest(registry)


def test_an_exemplar_has_both_ids() -> None:
    registry = CollectorRegistry()
    Counter("seen", "Seen.", registry=registry).inc(2, EXEMPLAR)
    (family,) = text_string_to_metric_families(open_metrics(registry).decode())  # type: ignore[no-untyped-call]
    (sample,) = family.samples
    assert sample.exemplar is not None
    assert (sample.exemplar.labels, sample.exemplar.value) == (EXEMPLAR, 2)
    # Prometheus's older format has none.
    assert b"trace_id" not in text(registry)


@pytest.mark.parametrize("write", [text, open_metrics])
def test_a_scrape_costs_at_most_two_milliseconds(
    metrics: Metrics, write: Callable[[CollectorRegistry], bytes]
) -> None:
    """The best of many counts, because other processes disturb the others."""
    costs = []
    for _ in range(100):
        began = time.thread_time()
        written = write(metrics.registry)
        costs.append(time.thread_time() - began)
    assert written.count(b"\n") > 450
    assert min(costs) < 0.002
