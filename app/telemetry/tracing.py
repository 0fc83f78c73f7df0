"""Traces: FastAPI makes a span for each request, the service one for each stage. OTLP sends both.

OpenTelemetry's API comes with FastAPI and does nothing without the SDK. The extra `otel` installs
the SDK and the exporter. They are imported only if CLASSIFIER_TRACES is on, and their own
environment variables, OTEL_..., configure them.
"""

import logging
import threading
import time
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from fastapi.telemetry import TelemetryConfig
from opentelemetry import trace
from opentelemetry.trace import NoOpTracer, Tracer, format_span_id, format_trace_id
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from app import __version__
from app.errors import StartupError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_FLUSH_S = 3.0
_WARN_EVERY_S = 60.0
# OpenMetrics allows 128 characters for all names and values of an exemplar.
_MAX_REQUEST_ID = 128 - len("trace_id" + "request_id") - 32
# Probes and Prometheus ask these paths every few seconds.
_UNTRACED = ("/health", "/metrics", "/ping", "/v2/health")
_TRACEPARENT = TraceContextTextMapPropagator()


class Traces:
    """Makes and sends spans. Without `wanted`, it does nothing.

    Attributes:
        tracer: makes the service's own spans, below the span of the request.

    Raises:
        StartupError: the packages are not installed, or OpenTelemetry rejects its settings.
    """

    def __init__(self, wanted: bool) -> None:
        self._provider = _exporting_provider() if wanted else None
        self.tracer: Tracer = NoOpTracer()
        if self._provider:
            self.tracer = self._provider.get_tracer("app", __version__)

    @property
    def telemetry(self) -> TelemetryConfig:
        """FastAPI's configuration: it makes a span for each request, but no metrics and no logs."""
        return {
            "tracing": self._provider is not None,
            "tracer_provider": self._provider,
            "metrics": False,
            "logs": False,
            "operation_spans": False,
            "exclude": _is_untraced,
        }

    def flush(self) -> None:
        """Send the remaining spans and stop, within 3 s. The SDK alone may wait for 30 s."""
        if self._provider:
            flushing = threading.Thread(target=self._provider.shutdown, daemon=True)
            flushing.start()
            flushing.join(_FLUSH_S)


def trace_ids(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the ids of the current trace and span for the log, or else the client's trace id."""
    own = trace.get_current_span().get_span_context()
    if own.is_valid:
        return {"trace_id": format_trace_id(own.trace_id), "span_id": format_span_id(own.span_id)}
    if "traceparent" not in headers:
        return {}
    given = trace.get_current_span(_TRACEPARENT.extract(headers)).get_span_context()
    return {"trace_id": format_trace_id(given.trace_id)} if given.is_valid else {}


def exemplar(request_id: str) -> dict[str, str] | None:
    """Return the ids that lead from a measured time to its trace; None if there is no trace."""
    own = trace.get_current_span().get_span_context()
    if not own.trace_flags.sampled:
        return None
    ids = {"trace_id": format_trace_id(own.trace_id)}
    if len(request_id) <= _MAX_REQUEST_ID:
        ids["request_id"] = request_id
    return ids


class Stages:
    """The spans of one photo's stages, below the span of the request.

    Attributes:
        seconds: how long each stage took that is over.
    """

    def __init__(self, tracer: Tracer) -> None:
        self.seconds: dict[str, float] = {}
        self._tracer = tracer
        self._epoch_ns = time.time_ns() - time.perf_counter_ns()

    def add(
        self, name: str, started: float, ended: float, attributes: Mapping[str, int] | None = None
    ) -> None:
        """Make the span of a stage that is over. Times are readings of `time.perf_counter()`."""
        self.seconds[name] = ended - started
        if isinstance(self._tracer, NoOpTracer):
            return
        began_ns, ended_ns = (self._epoch_ns + int(at * 1e9) for at in (started, ended))
        self._tracer.start_span(name, attributes=attributes, start_time=began_ns).end(ended_ns)


def _is_untraced(scope: MutableMapping[str, Any]) -> bool:
    path: str = scope["path"]
    return path.startswith(_UNTRACED)


def _exporting_provider() -> "TracerProvider":
    try:
        from opentelemetry.exporter.otlp.proto.http import trace_exporter  # noqa: PLC0415
        from opentelemetry.sdk import resources  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError as error:
        raise StartupError(
            "CLASSIFIER_TRACES needs the packages of requirements/otel.txt: install them, "
            f"or run make serve TRACES=true ({error})"
        ) from error
    ours = {"service.name": "photo-classifier", "service.version": __version__}
    resource = resources.Resource.create(ours).merge(resources.OTELResourceDetector().detect())
    try:
        sending = BatchSpanProcessor(trace_exporter.OTLPSpanExporter())
    except ValueError as error:
        raise StartupError(
            f"OpenTelemetry's settings: {error}; correct its OTEL_ variables"
        ) from error
    logging.getLogger(trace_exporter.__name__).addFilter(_OncePerMinute())
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(sending)
    return provider


class _OncePerMinute(logging.Filter):
    """Lets one record a minute pass, because the exporter warns at each attempt that fails."""

    _next = 0.0

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + _WARN_EVERY_S
        return True
