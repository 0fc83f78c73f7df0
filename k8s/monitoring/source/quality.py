"""The dashboard of the model: which one runs, whether it computes right, how certain it is."""

from grafana_foundation_sdk.models.dashboard import Dashboard
from panels import board, heat, lines, number
from queries import increase, mean, quantile, rate, series

SCORE, ENTROPY = "top1_score", "entropy"
UNREADABLE = "unsupported_image|broken_image|too_many_pixels|file_too_large|empty_file"
# rules.yml records this series.
DISTRIBUTION = "classifier:top1_score:cdf1h"
DEVIATION = f"max by (job) (abs({DISTRIBUTION} - {DISTRIBUTION} offset 1d))"
NAME = "{{name}} {{version}}"

MODEL = (
    number("Model", "none", f"sum by (name, version) ({series('model_info')})", NAME),
    number("Golden answers: 1 is right", "none", f"min({series('golden_ok')})"),
    number("Median of the best score", "percentunit", quantile(0.5, SCORE)),
    number("Median of the entropy", "percentunit", quantile(0.5, ENTROPY)),
    number("Photos answered", "reqps", rate(f"{SCORE}_count")),
)
SURENESS = (
    heat("Distribution of the best score", "percentunit", SCORE),
    lines(
        "Quantiles of the best score",
        "percentunit",
        {f"{q:.0%} of answers are below": quantile(q, SCORE) for q in (0.1, 0.5, 0.9)},
    ),
    lines("Mean of the best score", "percentunit", {"mean": mean(SCORE)}),
)
DOUBT = (
    heat("Entropy: 0 is certain, 100 % is undecided", "percentunit", ENTROPY),
    lines(
        "Quantiles of the entropy",
        "percentunit",
        {f"{q:.0%} of answers are below": quantile(q, ENTROPY) for q in (0.1, 0.5, 0.9)},
    ),
    lines("Best scores: distance from the day before", "percentunit", {"{{job}}": DEVIATION}),
)
CHECKS = (
    lines(
        "Canary checks by result", "none", {"{{result}}": increase("canaries_total", by="result")}
    ),
    lines("Golden answers: 1 is right, 0 is wrong", "none", {"{{instance}}": series("golden_ok")}),
    lines(
        "Unreadable uploads by error code",
        "reqps",
        {"{{reason}}": rate("outcomes_total", f'reason=~"{UNREADABLE}"', "reason")},
    ),
)


def quality() -> Dashboard:
    """Return the dashboard."""
    rows = {
        "Model": MODEL,
        "How certain the model is": SURENESS,
        "How undecided the model is": DOUBT,
        "Checks": CHECKS,
    }
    return board("Photo classifier: model quality", "photo-classifier-quality", rows)
