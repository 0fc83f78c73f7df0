"""PromQL, in the few forms that the dashboards use. All ask for the pods that are chosen above."""

_PODS = 'instance=~"$instance"'
_SPAN = "[$__rate_interval]"


def series(name: str, labels: str = "") -> str:
    """Return a metric of the service by its name after `classifier_`."""
    return f"classifier_{name}{{{_PODS}{labels and ', '}{labels}}}"


def rate(name: str, labels: str = "", by: str = "") -> str:
    """Return how much a counter grows in a second, added up over pods."""
    return f"{_sum(by)}(rate({series(name, labels)}{_SPAN}))"


def increase(name: str, labels: str = "", by: str = "") -> str:
    """Return how much a counter grows between two points of the picture, over all pods."""
    return f"{_sum(by)}(increase({series(name, labels)}{_SPAN}))"


def quantile(share: float, histogram: str, labels: str = "", by: str = "") -> str:
    """Return the value below which a share of what a histogram counted lies."""
    return f"histogram_quantile({share}, {rate(f'{histogram}_bucket', labels, _and_le(by))})"


def mean(histogram: str) -> str:
    """Return the mean of what a histogram counted."""
    return f"{rate(f'{histogram}_sum')} / {rate(f'{histogram}_count')}"


def _sum(by: str) -> str:
    return f"sum by ({by}) " if by else "sum"


def _and_le(by: str) -> str:
    return f"le, {by}" if by else "le"
