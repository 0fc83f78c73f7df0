"""The marks on the time axis: starts of pods, reloads of the model, and rollouts."""

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import AnnotationQuery
from panels import SOURCE
from queries import process, series


class _Mark(AnnotationQuery):
    """An annotation at the time that is the value of a series.

    The SDK does not know these fields, because they belong to Grafana's plugin for Prometheus.
    """

    title = ""
    expression = ""

    def to_json(self) -> dict[str, object]:
        """Return what Grafana reads."""
        target = {"refId": "A", "datasource": SOURCE, "expr": self.expression, "interval": "30s"}
        own = {"target": target, "titleFormat": self.title, "useValueForTime": True}
        return super().to_json() | own


class Mark(Builder[AnnotationQuery]):
    """Builds marks at the seconds since the epoch that an expression gives."""

    def __init__(self, name: str, colour: str, title: str, expression: str) -> None:
        self._mark = _Mark(name=name, datasource=SOURCE, enable=True, icon_color=colour)
        self._mark.title = title
        self._mark.expression = f"1000 * ({expression})"

    def build(self) -> AnnotationQuery:
        """Return the marks."""
        return self._mark


_STARTED = process("start_time_seconds")

MARKS = (
    Mark("Starts", "orange", "{{instance}} started", _STARTED),
    Mark(
        "Reloads",
        "purple",
        "{{instance}} reloaded the model",
        f"{series('last_reload_timestamp_seconds')} > 0",
    ),
    Mark(
        "Rollouts",
        "blue",
        "the first pod of version {{version}} started",
        f"min by (version) ({_STARTED} "
        f"* on (job, instance) group_left (version) {series('build_info')})",
    ),
)
