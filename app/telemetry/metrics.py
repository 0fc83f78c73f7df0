"""The metrics for Prometheus. Each service has its own registry, so a test can build several."""

from collections.abc import Mapping, Sequence
from functools import cache

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

from app.telemetry.cpu import CpuMeter, ThrottlingCollector

# The client would export a second series, `..._created`, for each counter and histogram.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the client has no type for it

_STAGES = ("decode", "queue", "inference", "total")
_LATENCY_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_LAG_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)
_SHARES = tuple(i / 10 for i in range(1, 11))
_UPLOAD_BYTES = (10_000, 30_000, 100_000, 300_000, 1e6, 3e6, 10e6, 30e6)
_PIXELS = (50_000, 200_000, 500_000, 1e6, 3e6, 6e6, 12e6, 24e6, 50e6, 100e6)
_BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The service's counters, gauges and histograms. Each name begins with `classifier_`."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        registry.register(ThrottlingCollector())
        self._add_requests()
        self._add_answers()
        self._add_photos()
        self._add_keys()
        self._add_queue()
        self._add_processes()
        self._add_model()
        self._begin_at_zero()

    def _add_requests(self) -> None:
        self.requests = self._counter(
            "http_requests_total",
            "HTTP requests answered. Those that bring photos name the protocol of the route.",
            "method",
            "route",
            "status",
            "dialect",
        )
        self.request_seconds = self._histogram(
            "http_request_duration_seconds",
            "Time from the headers of the request to the end of the response.",
            _LATENCY_S,
            "route",
        )
        self.outcomes = self._counter(
            "outcomes_total", "Photos by outcome: ok, or the code of the error.", "reason"
        )
        self.stage_seconds = self._histogram(
            "stage_duration_seconds",
            "Time that an answered photo spent in a stage: decode, queue, inference, or total.",
            _LATENCY_S,
            "stage",
        )
        self._stages = {stage: self.stage_seconds.labels(stage) for stage in _STAGES}

    def _add_answers(self) -> None:
        self.top1_score = self._histogram(
            "top1_score_ratio",
            "Highest score of an answer. Its distribution changes if clients send other photos.",
            _SHARES,
        )
        self.entropy = self._histogram(
            "entropy_ratio",
            "Entropy of an answer's scores: 0 if one class is certain, 1 if all are equal. With "
            "several labels a photo, the mean over the classes: 0 if each is certain, 1 if each is "
            "as likely as not.",
            _SHARES,
        )
        self.unfamiliarity = self._histogram(
            "unfamiliarity_ratio",
            "How far an answered photo is from all classes of the model: from 0.5 on it is called "
            "unfamiliar. Nothing is counted if the bundle cannot tell.",
            _SHARES,
        )
        self.unfamiliar = self._counter(
            "unfamiliar_photos_total", "Answered photos that the model calls unfamiliar."
        )
        self.answers = self._counter(
            "answers_total",
            "Answers by their best class. Rare classes of a model with many are counted as others.",
            "class",
        )

    def _add_photos(self) -> None:
        self._upload_bytes = self._histogram(
            "upload_bytes", "Size of the file of an answered photo.", _UPLOAD_BYTES
        )
        self._photo_pixels = self._histogram(
            "photo_pixels", "Pixels of an answered photo, before it is made smaller.", _PIXELS
        )
        formats = self._counter(
            "answered_photos_total", "Answered photos by the format of their file.", "format"
        )
        # To look a series up takes longer than to count in it.
        self._format = cache(formats.labels)

    def _add_keys(self) -> None:
        self.key_requests = self._counter(
            "key_requests_total",
            "Requests with photos by API key: the first digits of the SHA-256 of the key.",
            "key",
        )
        self.key_refused = self._counter(
            "key_refused_total",
            "Requests with photos that the limits of their API key refused, by the error's code.",
            "key",
            "reason",
        )
        self.key_in_flight = self._gauge(
            "key_in_flight_photos",
            "Photos of an API key that are inside or wait at the door, if keys have limits.",
            "key",
        )

    def _add_queue(self) -> None:
        self.loop_lag_seconds = self._histogram(
            "event_loop_lag_seconds",
            "How late the event loop wakes. Every request waits for that time as well.",
            _LAG_S,
        )
        self.batch_size = self._histogram(
            "batch_photos", "Photos in a batch that a worker computes.", _BATCH_SIZES
        )
        self.batch_padding = self._counter(
            "padding_rows_total",
            "Empty rows that workers compute, because a batch is padded to a warmed-up size.",
        )
        self.queue_depth = self._gauge("queued_photos", "Decoded photos that wait for a worker.")
        self.in_flight = self._gauge(
            "in_flight_photos",
            "Photos that hold a permit, from the end of the upload to the answer.",
        )
        self.waiting = self._gauge(
            "waiting_requests", "Requests that wait at the door, unread, for their turn."
        )
        self.capacity = self._gauge(
            "capacity_photos", "Permits: photos that may be in flight at the same time."
        )
        self.in_flight_bytes = self._gauge("in_flight_bytes", "Bytes of all uploads in memory.")
        self.capacity_bytes = self._gauge(
            "capacity_bytes", "Bytes of uploads that may be in memory at the same time."
        )
        self.throughput = self._gauge(
            "photos_per_second",
            "Photos per second that decoders and workers can finish; 0 while unknown.",
        )

    def _add_processes(self) -> None:
        self.ready = self._gauge(
            "ready", "1 while the service is ready to take photos, otherwise 0."
        )
        self.workers = self._gauge("workers", "Workers that the service should have.")
        self.hopeless = self._gauge(
            "hopeless", "1 when only a restart of the service can help, otherwise 0."
        )
        self.workers_up = self._gauge("workers_up", "Workers with a loaded model.")
        self.worker_restarts = self._counter(
            "worker_restarts_total",
            "Workers that were replaced, by reason: crash, hang, canary or recycle.",
            "reason",
        )
        self.decoders_up = self._gauge("decoders_up", "Decoders that can decode or do so now.")
        self.decoder_restarts = self._counter(
            "decoder_restarts_total",
            "Decoders that were replaced, by reason: crash, hang, memory, slow, starved, time or "
            "unwanted.",
            "reason",
        )
        self.worker_resident_bytes = self._gauge(
            "worker_resident_memory_bytes", "Resident memory of a worker's process.", "worker"
        )
        cpu = self._counter(
            "child_cpu_seconds_total",
            "CPU time of the server's child processes, by their task: worker or decoder.",
            "process",
        )
        self.worker_cpu, self.decoder_cpu = (
            CpuMeter(cpu.labels(process)) for process in ("worker", "decoder")
        )

    def _add_model(self) -> None:
        self.canaries = self._counter(
            "canaries_total",
            "Checks of an idle worker against the golden answers: ok, wrong, or failed.",
            "result",
        )
        self.golden_ok = self._gauge(
            "golden_ok", "0 after a wrong golden answer, until a worker gives a right one; else 1."
        )
        self.golden_ok.set(1)
        self.measured_batch = self._gauge(
            "measured_batch_seconds",
            "Time of a batch, by its size, in the last 45 seconds; CPU time for a single thread.",
            "size",
        )
        self.max_batch_size = self._gauge(
            "max_batch_photos", "Largest number of photos in a batch, now."
        )
        self.model = Info(
            "classifier_model", "The bundle that the service runs.", registry=self.registry
        )
        self.reloads = self._counter(
            "reloads_total", "Reloads of the model by result: ok or refused.", "result"
        )
        self.last_reload = self._gauge(
            "last_reload_timestamp_seconds",
            "When the last reload brought a model to answer, since the epoch; 0 before the first.",
        )
        self.build = Info("classifier_build", "The version of the service.", registry=self.registry)

    def _begin_at_zero(self) -> None:
        """Export these series with 0, because Prometheus sees no increase in a new series."""
        for result in ("ok", "wrong", "failed"):
            self.canaries.labels(result)
        for reason in ("crash", "hang", "canary", "recycle"):
            self.worker_restarts.labels(reason)
        for reason in ("crash", "hang", "memory", "slow", "starved", "time", "unwanted"):
            self.decoder_restarts.labels(reason)
        for result in ("ok", "refused"):
            self.reloads.labels(result)
        for reason in ("ok", "overloaded"):
            self.outcomes.labels(reason)
        for status in (200, 429, 500, 503, 504):
            self.requests.labels("POST", "/predict", str(status), "own")

    def observe_answer(
        self, scores: npt.NDArray[np.float32], seconds: Mapping[str, float], exclusive: bool = True
    ) -> None:
        """Record one answer.

        Args:
            scores: (classes,).
            seconds: {stage: seconds}.
            exclusive: whether the classes exclude each other, so that the scores add up to 1.
        """
        for stage, duration in seconds.items():
            self._stages[stage].observe(duration)
        self.top1_score.observe(float(scores.max()))
        self.entropy.observe(_entropy(scores) if exclusive else _mean_entropy(scores))

    def observe_unfamiliarity(self, unfamiliarity: float | None, unfamiliar: bool | None) -> None:
        """Record how unfamiliar an answered photo is, if the bundle can tell."""
        if unfamiliarity is not None:
            self.unfamiliarity.observe(unfamiliarity)
        if unfamiliar:
            self.unfamiliar.inc()

    def observe_photo(self, size: int, pixels: int, form: str) -> None:
        """Record an answered photo: the bytes of its file, its pixels, and its format."""
        self._upload_bytes.observe(size)
        self._photo_pixels.observe(pixels)
        self._format(form).inc()

    def observe_batch_sizes(self, max_batch_size: int, batch_seconds: Mapping[int, float]) -> None:
        """Record the largest batch of the model that serves now, and the seconds by batch size."""
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
    """Return the entropy of `scores` (classes,), divided by the highest possible entropy."""
    if len(scores) < 2:
        return 0.0
    likely = scores[scores > 0]
    return float(-(likely * np.log(likely)).sum() / np.log(len(scores)))


def _mean_entropy(scores: npt.NDArray[np.float32]) -> float:
    """Return the mean entropy, in bits, of the questions whether a photo has each class."""
    answers = np.clip([scores, 1 - scores], np.finfo(np.float32).tiny, 1)
    return float(-(answers * np.log2(answers)).sum(axis=0).mean())
