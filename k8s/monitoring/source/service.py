"""The dashboard of the service: does it answer, how fast, how full is it, who does the work."""

from grafana_foundation_sdk.models.dashboard import Dashboard
from panels import board, heat, lines, number
from queries import increase, mean, quantile, rate, series

REQUESTS, STAGES = "http_requests_total", "stage_duration_seconds"
PREDICT, TOTAL = 'route="/predict"', 'stage="total"'


def share(statuses: str) -> str:
    """Return the share of the photos that got such a status; 0 while none ever did."""
    part = rate(REQUESTS, f'{PREDICT}, status=~"{statuses}"')
    return f"({part} or vector(0)) / {rate(REQUESTS, PREDICT)}"


def process(name: str) -> str:
    """Return a metric of the server's own process; any program may have one of this name."""
    return f'process_{name}{{job="photo-classifier", instance=~"$instance"}}'


AT_A_GLANCE = (
    number("Pods that take photos", "none", f"sum({series('ready')})"),
    number("Photos", "reqps", rate(REQUESTS, PREDICT)),
    number("Failed", "percentunit", share("5..")),
    number("Refused, full", "percentunit", share("429")),
    number("99 % answered within", "s", quantile(0.99, STAGES, TOTAL)),
    number("Version", "none", f"sum by (version) ({series('build_info')})", "{{version}}"),
)
ANSWERS = (
    lines("Photos by outcome", "reqps", {"{{reason}}": rate("outcomes_total", by="reason")}),
    lines("Requests", "reqps", {"{{route}} {{status}}": rate(REQUESTS, by="route, status")}),
    lines("Failed and refused", "percentunit", {"5xx": share("5.."), "429": share("429")}),
)
LATENCY = (
    lines(
        "From the upload's end to the answer",
        "s",
        {f"{q:.0%}": quantile(q, STAGES, TOTAL) for q in (0.5, 0.95, 0.99)},
    ),
    lines("95 % of each stage", "s", {"{{stage}}": quantile(0.95, STAGES, by="stage")}),
    heat("All answers", "s", STAGES, TOTAL),
)
SATURATION = (
    lines(
        "Photos inside",
        "none",
        {
            "{{instance}}": series("in_flight"),
            "of these waiting, {{instance}}": series("queue_depth"),
            "places": f"max({series('capacity')})",
        },
    ),
    lines(
        "Fullness",
        "percentunit",
        {
            "places, {{instance}}": f"{series('in_flight')} / {series('capacity')}",
            "bytes, {{instance}}": f"{series('in_flight_bytes')} / {series('capacity_bytes')}",
        },
    ),
    lines(
        "Photos answered, and how many could be",
        "reqps",
        {
            "answered": rate("outcomes_total", 'reason="ok"'),
            "possible": f"sum({series('photos_per_second')})",
        },
    ),
)
BATCHES = (
    heat("Photos in a batch", "none", "batch_size"),
    lines(
        "Mean batch, and the largest allowed",
        "none",
        {"mean": mean("batch_size"), "largest": f"max({series('max_batch_size')})"},
    ),
    lines(
        "Rows computed for nothing, for each photo",
        "percentunit",
        {"padding": f"{rate('batch_padding_total')} / {rate('batch_size_sum')}"},
    ),
)
WORKERS = (
    lines(
        "Workers",
        "none",
        {
            "up": f"sum({series('workers_up')})",
            "configured": f"sum({series('workers')})",
            "hopeless pods": f"sum({series('hopeless')})",
        },
    ),
    lines(
        "Workers replaced", "none", {"{{reason}}": increase("worker_restarts_total", by="reason")}
    ),
    lines(
        "A batch's time by its size, as measured at the start",
        "s",
        {"{{size}}": f"max by (size) ({series('measured_batch_seconds')})"},
    ),
)
PROCESSES = (
    lines(
        "Memory",
        "bytes",
        {
            "server, {{instance}}": process("resident_memory_bytes"),
            "worker {{worker}}, {{instance}}": series("worker_resident_bytes"),
        },
    ),
    lines(
        "Cores used by the server's own process",
        "none",
        {"{{instance}}": f"rate({process('cpu_seconds_total')}[$__rate_interval])"},
    ),
    lines(
        "The event loop wakes late, 99 %",
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
