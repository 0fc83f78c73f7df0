"""The first rows of the service's dashboard: is anything wrong now, and are promises kept?"""

from levels import Levels, Look, amount, falling, rising
from panels import About, alerts, lines, name, number
from queries import PHOTOS, REQUESTS, STAGES, TOTAL, quantile, rate, refused, series, share

# The promises of rules.yml, which also records the shares that they are compared with.
FAILED, FAILED_ALLOWED = "classifier:failed:ratio_rate", 0.001
SLOW, SLOW_ALLOWED = "classifier:slow:ratio_rate", 0.01
# A month's budget lasts for two days at the highest of these rates, and for five at the next.
BURNS = Levels("green", ((1, "yellow"), (6, "orange"), (14.4, "red")))


def left(recorded: str, allowed: float) -> str:
    """Return the share of the error budget of 30 days that is left; negative if it is overdrawn."""
    return f"min(1 - {recorded}30d / {allowed})"


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
        refused("overloaded"),
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
PROMISES = (
    number(
        "Error budget left: failures",
        "percentunit",
        left(FAILED, FAILED_ALLOWED),
        About(
            "99.9 % of the photos of 30 days get no 5xx. So much of the allowed failures is left.",
            "50 to 100 %.",
            "near 0 %, make no risky change. Below 0 % the promise is broken; see "
            "ClassifierFailsFast.",
        ),
        Look(falling(bad_below=0.1, doubtful_below=0.5), "not known yet"),
    ).height(8),
    number(
        "Error budget left: slow answers",
        "percentunit",
        left(SLOW, SLOW_ALLOWED),
        About(
            "99 % of the answers of 30 days take at most 0.5 s. So much of the slow ones is left.",
            "50 to 100 %.",
            "near 0 %, add pods. Below 0 % the promise is broken; see ClassifierSlowFast.",
        ),
        Look(falling(bad_below=0.1, doubtful_below=0.5), "not known yet"),
    ).height(8),
    lines(
        "How fast the error budgets are used up",
        "none",
        {
            "failures, 1 hour": f"max({FAILED}1h / {FAILED_ALLOWED})",
            "failures, 6 hours": f"max({FAILED}6h / {FAILED_ALLOWED})",
            "slow answers, 1 hour": f"max({SLOW}1h / {SLOW_ALLOWED})",
            "slow answers, 6 hours": f"max({SLOW}6h / {SLOW_ALLOWED})",
        },
        About(
            "The burn rate: at 1 a budget lasts for 30 days, at 6 for five, at 14.4 for two.",
            "below 1.",
            "above 14.4 for an hour, or 6 for six hours, ClassifierFailsFast or ClassifierSlowFast "
            "fires.",
        ),
        BURNS,
    ),
    alerts(
        "Alerts that fire",
        About(
            "The alerts that fire now, with the pod if the alert is about one.",
            "none.",
            "the link of each line leads to the runbooks.",
        ),
    ),
)
