"""The dashboard of the service: answers, latency, saturation, batches, workers, processes."""

from grafana_foundation_sdk.models.dashboard import Dashboard
from panels import board, heat, lines, number
from queries import increase, mean, quantile, rate, series

REQUESTS, STAGES = "http_requests_total", "stage_duration_seconds"
# Only requests that bring photos have a dialect.
PHOTOS, TOTAL = 'dialect!=""', 'stage="total"'


def share(statuses: str) -> str:
    """Return the share of photos that get one of these statuses; 0 if no photo ever got one."""
    these = rate(REQUESTS, f'{PHOTOS}, status=~"{statuses}"')
    return f"({these} or vector(0)) / {rate(REQUESTS, PHOTOS)}"


def process(name: str) -> str:
    """Return a metric of the server's process. Other programs have it too, so the job selects."""
    return f'process_{name}{{job="photo-classifier", instance=~"$instance"}}'


AT_A_GLANCE = (
    number("Pods that are ready", "none", f"sum({series('ready')})"),
    number("Photos received", "reqps", rate(REQUESTS, PHOTOS)),
    number("Photos failed (5xx)", "percentunit", share("5..")),
    number("Photos refused (429)", "percentunit", share("429")),
    number("99 % answered within", "s", quantile(0.99, STAGES, TOTAL)),
    number("Version", "none", f"sum by (version) ({series('build_info')})", "{{version}}"),
)
ANSWERS = (
    lines("Photos by outcome", "reqps", {"{{reason}}": rate("outcomes_total", by="reason")}),
    lines(
        "Requests by route and status",
        "reqps",
        {"{{route}} {{status}}": rate(REQUESTS, by="route, status")},
    ),
    lines(
        "Photos that failed (5xx) or were refused (429)",
        "percentunit",
        {"5xx": share("5.."), "429": share("429")},
    ),
)
LATENCY = (
    lines(
        "From the upload's end to the answer",
        "s",
        {f"{q:.0%}": quantile(q, STAGES, TOTAL) for q in (0.5, 0.95, 0.99)},
    ),
    lines("95 % of each stage", "s", {"{{stage}}": quantile(0.95, STAGES, by="stage")}),
    heat("Distribution of the time to an answer", "s", STAGES, TOTAL),
)
SATURATION = (
    lines(
        "Photos in flight",
        "none",
        {
            "in flight, {{instance}}": series("in_flight"),
            "waiting at the door, {{instance}}": series("waiting"),
            "of these in the queue, {{instance}}": series("queue_depth"),
            "permits of a pod": f"max({series('capacity')})",
        },
    ),
    lines(
        "Share of the capacity in use",
        "percentunit",
        {
            "photos, {{instance}}": f"{series('in_flight')} / {series('capacity')}",
            "bytes, {{instance}}": f"{series('in_flight_bytes')} / {series('capacity_bytes')}",
        },
    ),
    lines(
        "Photos answered, and possible throughput",
        "reqps",
        {
            "answered": rate("outcomes_total", 'reason="ok"'),
            "possible": f"sum({series('photos_per_second')})",
        },
    ),
)
BATCHES = (
    heat("Distribution of the batch size", "none", "batch_size"),
    lines(
        "Mean and largest allowed batch size",
        "none",
        {"mean": mean("batch_size"), "largest": f"max({series('max_batch_size')})"},
    ),
    lines(
        "Padding: empty rows computed per photo",
        "percentunit",
        {"padding": f"{rate('batch_padding_total')} / {rate('batch_size_sum')}"},
    ),
)
WORKERS = (
    lines(
        "Workers that are up and configured",
        "none",
        {
            "up": f"sum({series('workers_up')})",
            "configured": f"sum({series('workers')})",
            "hopeless pods": f"sum({series('hopeless')})",
        },
    ),
    lines(
        "Workers replaced, by reason",
        "none",
        {"{{reason}}": increase("worker_restarts_total", by="reason")},
    ),
    lines(
        "Time of a batch by its size",
        "s",
        {"{{size}}": f"max by (size) ({series('measured_batch_seconds')})"},
    ),
)
PROCESSES = (
    lines(
        "Resident memory of each process",
        "bytes",
        {
            "server, {{instance}}": process("resident_memory_bytes"),
            "worker {{worker}}, {{instance}}": series("worker_resident_bytes"),
        },
    ),
    lines(
        "Cores that the server's process uses",
        "none",
        {"{{instance}}": f"rate({process('cpu_seconds_total')}[$__rate_interval])"},
    ),
    lines(
        "Event loop lag, 99th percentile",
        "s",
        {"{{instance}}": quantile(0.99, "event_loop_lag_seconds", by="instance")},
    ),
)


def service() -> Dashboard:
    """Return the dashboard."""
    rows = {
        "At a glance": AT_A_GLANCE,
        "Answers": ANSWERS,
        "Latency": LATENCY,
        "Saturation": SATURATION,
        "Batches": BATCHES,
        "Workers": WORKERS,
        "Processes": PROCESSES,
    }
    return board("Photo classifier: service", "photo-classifier-service", rows)
