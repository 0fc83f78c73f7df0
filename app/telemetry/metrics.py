"""What Prometheus sees. One registry a service, so that a test may build ten."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series that nobody reads

_STAGES = ("decode", "queue", "inference", "total")
_LATENCY_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_LAG_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)
_SHARES = tuple(i / 10 for i in range(1, 11))
_BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The service's counters, gauges and histograms, `classifier_` before each name."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self.requests = self._counter(
            "http_requests_total", "HTTP requests answered.", "method", "route", "status"
        )
        self.request_seconds = self._histogram(
            "http_request_duration_seconds",
            "Time from the request's head to the response's end.",
            _LATENCY_S,
            "route",
        )
        self.outcomes = self._counter(
            "outcomes_total", "Photos by what became of them: ok, or the error's code.", "reason"
        )
        self.stage_seconds = self._histogram(
            "stage_duration_seconds",
            "Time of an answered photo in each stage: decode, queue, inference, total.",
            _LATENCY_S,
            "stage",
        )
        self._stages = {stage: self.stage_seconds.labels(stage) for stage in _STAGES}
        self.top1_score = self._histogram(
            "top1_score",
            "Highest score of an answer. Another distribution than before: other photos come.",
            _SHARES,
        )
        self.entropy = self._histogram(
            "entropy",
            "Entropy of an answer's scores: 0 is certain of one class, 1 knows nothing.",
            _SHARES,
        )
        self.loop_lag_seconds = self._histogram(
            "event_loop_lag_seconds",
            "By how much the event loop woke too late; callers wait as long when it stalls.",
            _LAG_S,
        )
        self.batch_size = self._histogram("batch_size", "Photos in a batch.", _BATCH_SIZES)
        self.batch_padding = self._counter(
            "batch_padding_total",
            "Rows computed for nothing, as a batch is padded to a size that was warmed.",
        )
        self.queue_depth = self._gauge("queue_depth", "Photos that wait for a worker.")
        self.in_flight = self._gauge("in_flight", "Photos inside, from the door to the answer.")
        self.capacity = self._gauge("capacity", "Photos that may be inside at once now.")
        self.in_flight_bytes = self._gauge("in_flight_bytes", "Bytes of uploads inside.")
        self.capacity_bytes = self._gauge(
            "capacity_bytes", "Bytes of uploads that may be inside at once."
        )
        self.throughput = self._gauge(
            "photos_per_second", "Photos a second that decoders and workers finish now."
        )
        self.ready = self._gauge("ready", "1 while the service takes photos.")
        self.workers = self._gauge("workers", "Workers that there should be.")
        self.hopeless = self._gauge("hopeless", "1 when only a restart of the service can help.")
        self.workers_up = self._gauge("workers_up", "Workers with a loaded model.")
        self.worker_restarts = self._counter(
            "worker_restarts_total",
            "Workers replaced, by why the old one ended: crash, hang, canary, recycle.",
            "reason",
        )
        self.worker_resident_bytes = self._gauge(
            "worker_resident_bytes", "Memory that a worker's process holds.", "worker"
        )
        self.canaries = self._counter(
            "canaries_total",
            "Golden answers asked of idle workers: ok, wrong, or failed to answer.",
            "result",
        )
        self.golden_ok = self._gauge(
            "golden_ok", "0 after a worker's wrong golden answer, until one gives the right one."
        )
        self.golden_ok.set(1)
        self.measured_batch = self._gauge(
            "measured_batch_seconds", "Time of a batch by its size, measured at the start.", "size"
        )
        self.max_batch_size = self._gauge("max_batch_size", "Photos in one batch at most.")
        self.model = Info("classifier_model", "The bundle that is served.", registry=registry)
        self.build = Info("classifier_build", "The service itself.", registry=registry)
        self._begin_at_zero()

    def _begin_at_zero(self) -> None:
        """Show what has not happened yet: a series that appears with 1 has no increase."""
        for result in ("ok", "wrong", "failed"):
            self.canaries.labels(result)
        for reason in ("crash", "hang", "canary", "recycle"):
            self.worker_restarts.labels(reason)
        self.outcomes.labels("ok")
        for status in (200, 429, 500, 503, 504):
            self.requests.labels("POST", "/predict", str(status))

    def observe_answer(self, scores: npt.NDArray[np.float32], seconds: Mapping[str, float]) -> None:
        """Note one answer: its scores (classes,), and how long it was in each stage."""
        for stage, duration in seconds.items():
            self._stages[stage].observe(duration)
        self.top1_score.observe(float(scores.max()))
        self.entropy.observe(_entropy(scores))

    def observe_batch_sizes(self, max_batch_size: int, batch_seconds: Mapping[int, float]) -> None:
        """Note the largest batch of the model that serves now, and what was measured for it."""
        self.max_batch_size.set(max_batch_size)
        self.measured_batch.clear()
        for size, seconds in batch_seconds.items():
            self.measured_batch.labels(str(size)).set(seconds)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"classifier_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"classifier_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: Sequence[float], *labels: str) -> Histogram:
        return Histogram(
            f"classifier_{name}", text, labels, buckets=buckets, registry=self.registry
        )


def _entropy(scores: npt.NDArray[np.float32]) -> float:
    """Return the entropy of `scores` (classes,) as a share of the highest possible."""
    if len(scores) < 2:
        return 0.0
    likely = scores[scores > 0]
    return float(-(likely * np.log(likely)).sum() / np.log(len(scores)))
