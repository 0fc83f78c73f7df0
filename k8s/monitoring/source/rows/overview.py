"""The first row of the service's dashboard: is anything wrong now?"""

from levels import Levels, Look, amount, falling, rising
from panels import About, name, number
from queries import PHOTOS, REQUESTS, STAGES, TOTAL, quantile, rate, series, share

AT_A_GLANCE = (
    number(
        "Pods that are ready",
        "none",
        f"sum({series('ready')})",
        About(
            "The pods that take photos now.",
            "two or more; one alone means that a lost pod stops the service.",
            "see the runbook of ClassifierAbsent, and the row Workers.",
        ),
        Look(falling(bad_below=1, doubtful_below=2), "no pods", {"0": ("none", "red")}),
    ),
    number(
        "Photos received",
        "reqps",
        rate(REQUESTS, PHOTOS),
        About(
            "Requests with photos per second, whatever their answer.",
            "what your clients send; a core can answer 50 to 70 a second.",
            "nothing at all while clients should send: look at the ingress and at the clients.",
        ),
        Look(amount(), "no photos"),
    ),
    number(
        "Photos failed (5xx)",
        "percentunit",
        share("5.."),
        About(
            "The share of requests with photos that the service failed to answer.",
            "0 %; above 0.1 % the promise of 30 days is broken if it goes on.",
            "the panel “Photos by outcome” names the error; see the runbook of "
            "ClassifierFailsFast.",
        ),
        Look(rising(doubtful=0.001, bad=0.0144), "no photos"),
    ),
    number(
        "Photos refused (429)",
        "percentunit",
        share("429"),
        About(
            "The share of requests with photos that were refused because the service was full.",
            "0 %, also at the busiest hour.",
            "there are too few pods; see the row Saturation and the runbook of ClassifierRefuses.",
        ),
        Look(rising(doubtful=0.01, bad=0.05), "no photos"),
    ),
    number(
        "99 % answered within",
        "s",
        quantile(0.99, STAGES, TOTAL),
        About(
            "99 of 100 answers take at most this long, from the end of the upload.",
            "0.02 s to 0.3 s; 0.5 s is promised.",
            "the panel “95 % of each stage” shows which stage is slow; see the runbook of "
            "ClassifierSlowFast.",
        ),
        Look(rising(doubtful=0.4, bad=0.5), "no answers"),
    ),
    name(
        "Version",
        f"sum by (version) ({series('build_info')})",
        "{{version}}",
        About(
            "The versions of the service that run now.",
            "one; two during a rollout.",
            "if two stay, the rollout has stopped: kubectl rollout status tells why.",
        ),
        Look(Levels("blue"), "no pods"),
    ),
)
