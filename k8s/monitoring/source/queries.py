"""PromQL expressions of the dashboards, for the pods that the dashboard's menu selects."""

_PODS = 'instance=~"$instance"'
_SPAN = "[$__rate_interval]"

REQUESTS, STAGES = "http_requests_total", "stage_duration_seconds"
# Only requests that bring photos have a dialect.
PHOTOS, TOTAL = 'dialect!=""', 'stage="total"'


def series(name: str, labels: str = "") -> str:
    """Return the series of the metric `classifier_NAME`."""
    return f"classifier_{name}{{{_PODS}{labels and ', '}{labels}}}"


def rate(name: str, labels: str = "", by: str = "") -> str:
    """Return the increase of a counter per second, summed over the pods."""
    return f"{_sum(by)}(rate({series(name, labels)}{_SPAN}))"


def increase(name: str, labels: str = "", by: str = "") -> str:
    """Return the increase of a counter between two points of the graph, summed over the pods."""
    return f"{_sum(by)}(increase({series(name, labels)}{_SPAN}))"


def quantile(share: float, histogram: str, labels: str = "", by: str = "") -> str:
    """Return a quantile of a histogram: the value below which this share of the values lies."""
    return f"histogram_quantile({share}, {rate(f'{histogram}_bucket', labels, _and_le(by))})"


def mean(histogram: str) -> str:
    """Return the mean of the values in a histogram."""
    return f"{rate(f'{histogram}_sum')} / {rate(f'{histogram}_count')}"


def share(statuses: str) -> str:
    """Return the share of photos that get one of these statuses; 0 if no photo ever got one."""
    these = rate(REQUESTS, f'{PHOTOS}, status=~"{statuses}"')
    return f"({these} or vector(0)) / {rate(REQUESTS, PHOTOS)}"


def refused(codes: str) -> str:
    """Return the share of photos that got one of these codes; 0 if no photo ever got one."""
    these = rate("outcomes_total", f'reason=~"{codes}"')
    return f"({these} or vector(0)) / {rate('outcomes_total')}"


def process(name: str) -> str:
    """Return a metric of the server's process. Other programs have it too, so the job selects."""
    return f'process_{name}{{job="photo-classifier", instance=~"$instance"}}'


def _sum(by: str) -> str:
    return f"sum by ({by}) " if by else "sum"


def _and_le(by: str) -> str:
    return f"le, {by}" if by else "le"
