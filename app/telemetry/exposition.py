"""Writes the metrics as text: Prometheus's format, or OpenMetrics, which has exemplars.

The client library has functions for both, but they take twice as long: they escape and sort the
labels of each series at each scrape. Here this happens once for each series.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache

from prometheus_client import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar, Sample
from prometheus_client.utils import floatToGoString

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_MAX_SERIES = 4096
_SUFFIX = {"counter": "_total", "info": "_info"}
_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


def text(registry: Collector) -> bytes:
    """Return all metrics in Prometheus's text format."""
    lines: list[str] = []
    for metric in registry.collect():
        lines += _head(metric, metric.name + _SUFFIX.get(metric.type, ""), _plain_type(metric))
        lines += [_line(sample) for sample in metric.samples]
    return "".join(lines).encode()


def open_metrics(registry: Collector) -> bytes:
    """Return all metrics in the format of OpenMetrics."""
    lines: list[str] = []
    for metric in registry.collect():
        lines += _head(metric, metric.name, metric.type)
        lines += _with_exemplars(metric)
    return "".join([*lines, "# EOF\n"]).encode()


def _plain_type(metric: Metric) -> str:
    return "gauge" if metric.type == "info" else metric.type


def _head(metric: Metric, name: str, kind: str) -> Iterator[str]:
    text = metric.documentation.replace("\\", r"\\").replace("\n", r"\n")
    yield f"# HELP {name} {text}\n"
    yield f"# TYPE {name} {kind}\n"


def _with_exemplars(metric: Metric) -> Iterator[str]:
    for sample in metric.samples:
        line = _line(sample)
        yield f"{line[:-1]} # {_exemplar(sample.exemplar)}\n" if sample.exemplar else line


def _exemplar(exemplar: Exemplar) -> str:
    at = f" {exemplar.timestamp:.3f}" if exemplar.timestamp else ""
    return f"{_braces(exemplar.labels) or '{}'} {_number(exemplar.value)}{at}"


def _line(sample: Sample) -> str:
    series = _series(sample.name, tuple(sample.labels.items()))
    return f"{series} {_number(sample.value)}\n"


# Most series do not change between two scrapes.
@lru_cache(_MAX_SERIES)
def _number(value: float) -> str:
    written: str = floatToGoString(value)  # type: ignore[no-untyped-call]  # it has no types
    return written


@lru_cache(_MAX_SERIES)
def _series(name: str, labels: tuple[tuple[str, str], ...]) -> str:
    return f"{name}{_braces(dict(labels))}"


def _braces(labels: Mapping[str, str]) -> str:
    written = ",".join(
        f'{name}="{value.translate(_ESCAPES)}"' for name, value in sorted(labels.items())
    )
    return f"{{{written}}}" if written else ""
