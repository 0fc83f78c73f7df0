"""What becomes of the photos, and how long it takes."""

from levels import rising
from links import link, logs, traces
from panels import About, heat, lines, traced
from queries import REQUESTS, STAGES, TOTAL, quantile, rate, refused, share

# Probes and Prometheus ask these routes.
QUIET = "/health.*|/metrics|unmatched"
OUTCOME = 'outcome="${__field.labels.reason:percentencode}"'

ANSWERS = (
    lines(
        "Photos by outcome",
        "reqps",
        {"{{reason}}": rate("outcomes_total", by="reason")},
        About(
            "Requests with photos per second: “ok”, or the code of the error.",
            "nearly all are ok; a few unreadable files are the clients' own fault.",
            "docs/http.md explains each code, and the runbook of ClassifierFailsFast those that "
            "are the service's fault.",
        ),
    ).data_links([link("Log lines with this outcome", logs(OUTCOME))]),
    lines(
        "Requests by route and status",
        "reqps",
        {"{{route}} {{status}}": rate(REQUESTS, by="route, status")},
        About(
            "All requests per second, also those of probes and of Prometheus.",
            "200 nearly everywhere.",
            "401 is a client with a wrong key, 404 or 405 one with a wrong address, 429 one that "
            "came while the service was full.",
        ),
    ),
    lines(
        "Photos that failed (5xx) or were refused (429)",
        "percentunit",
        {
            "5xx": share("5.."),
            "429, the service is full": refused("overloaded"),
            "429, the key's limits": refused("key_busy|key_rate"),
        },
        About(
            "The shares of requests with photos that failed or were refused.",
            "both are 0 %. The dashed lines are the levels of the two numbers above.",
            "see the runbooks of ClassifierFailsFast, ClassifierRefuses and ClassifierKeyLimited.",
        ),
        rising(doubtful=0.001, bad=0.05),
    ),
)
LATENCY = (
    traced(
        "99 % of whole requests, with traces",
        "s",
        quantile(0.99, "http_request_duration_seconds", f'route!~"{QUIET}"', "route"),
        "{{route}}",
        About(
            "The time from the first byte of a request to its answer, with the upload and the wait "
            "at the door. With CLASSIFIER_TRACES, each dot is one request and leads to its trace.",
            "little above the next panel; slow networks add the time of the upload.",
            "click on a high dot and see which span is long.",
        ),
    ).span(6),
    lines(
        "From the upload's end to the answer",
        "s",
        {f"{q:.0%}": quantile(q, STAGES, TOTAL) for q in (0.5, 0.95, 0.99)},
        About(
            "This share of the answers takes at most so long.",
            "half of them 0.02 s, nearly all of them below 0.3 s.",
            "above 0.5 s the promise is broken; the next panel shows the slow stage.",
        ),
        rising(doubtful=0.4, bad=0.5),
    )
    .span(6)
    .data_links([link("Traces of slow requests", traces("duration > 500ms"))]),
    lines(
        "95 % of each stage",
        "s",
        {"{{stage}}": quantile(0.95, STAGES, by="stage")},
        About(
            "The time that 95 of 100 answered photos spent at most in each stage.",
            "decode 2 to 10 ms, queue below 50 ms, inference 10 to 60 ms.",
            "queue: add pods. inference: the CPU is throttled or shared, see the row Processes. "
            "decode: the photos are larger than before.",
        ),
    ).span(6),
    heat(
        "Distribution of the time to an answer",
        "s",
        STAGES,
        About(
            "How many answers took how long; darker is more.",
            "one dark band far below 0.5 s.",
            "a second band is another kind of photo, or a slow pod: choose pods in the menu above.",
        ),
        TOTAL,
    ).span(6),
)
