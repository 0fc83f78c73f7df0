"""What Prometheus sees. One registry a service, so that a test may build ten."""

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

_LATENCY_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_LAG_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)
_BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The service's counters, gauges and histograms, `classifier_` before each name."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self.requests = Counter(
            "classifier_http_requests_total",
            "HTTP requests answered.",
            ("method", "route", "status"),
            registry=registry,
        )
        self.request_seconds = Histogram(
            "classifier_http_request_duration_seconds",
            "Time from the request's head to the response's end.",
            ("route",),
            buckets=_LATENCY_S,
            registry=registry,
        )
        self.outcomes = Counter(
            "classifier_outcomes_total",
            "Photos by what became of them: ok, or the error's code.",
            ("reason",),
            registry=registry,
        )
        self.stage_seconds = Histogram(
            "classifier_stage_duration_seconds",
            "Time of an answered photo in each stage: decode, queue, inference, total.",
            ("stage",),
            buckets=_LATENCY_S,
            registry=registry,
        )
        self.loop_lag_seconds = Histogram(
            "classifier_event_loop_lag_seconds",
            "By how much the event loop woke too late; callers wait as long when it stalls.",
            buckets=_LAG_S,
            registry=registry,
        )
        self.batch_size = Histogram(
            "classifier_batch_size",
            "Photos in a batch.",
            buckets=_BATCH_SIZES,
            registry=registry,
        )
        self.queue_depth = self._gauge("queue_depth", "Photos that wait for a worker.")
        self.in_flight = self._gauge("in_flight", "Photos inside, from the door to the answer.")
        self.capacity = self._gauge("capacity", "Photos that may be inside at once.")
        self.drain_rate = self._gauge("drain_rate", "Photos a second that the workers finish now.")
        self.ready = self._gauge("ready", "1 while the service takes photos.")
        self.workers_up = self._gauge("workers_up", "Workers with a loaded model.")
        self.worker_restarts = Counter(
            "classifier_worker_restarts_total",
            "Workers replaced, by why the old one ended: crash, hang, canary, recycle.",
            ("reason",),
            registry=registry,
        )
        self.measured_batch = Gauge(
            "classifier_measured_batch_seconds",
            "Time of a batch by its size, measured at the start.",
            ("size",),
            registry=registry,
        )
        self.max_batch_size = self._gauge("max_batch_size", "Photos in one batch at most.")
        self.model = Info("classifier_model", "The bundle that is served.", registry=registry)
        self.build = Info("classifier_build", "The service itself.", registry=registry)
        for reason in ("crash", "hang", "canary", "recycle"):
            self.worker_restarts.labels(reason)
        self.outcomes.labels("ok")

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(f"classifier_{name}", text, registry=self.registry)
