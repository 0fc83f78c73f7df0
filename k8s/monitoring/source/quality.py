"""The dashboard of the model: is it the right one, does it compute right, is it sure of itself."""

from grafana_foundation_sdk.models.dashboard import Dashboard
from panels import board, heat, lines, number
from queries import increase, mean, quantile, rate, series

SCORE, ENTROPY = "top1_score", "entropy"
UNREADABLE = "unsupported_image|broken_image|too_many_pixels|file_too_large|empty_file"
DISTRIBUTION = "classifier:top1_score:cdf1h"  # a recording rule of rules.yml
DEVIATION = f"max by (job) (abs({DISTRIBUTION} - {DISTRIBUTION} offset 1d))"
NAME = "{{name}} {{version}}"

MODEL = (
    number("Model", "none", f"sum by (name, version) ({series('model_info')})", NAME),
    number("Golden answers right", "none", f"min({series('golden_ok')})"),
    number("Median of the best score", "percentunit", quantile(0.5, SCORE)),
    number("Median of the entropy", "percentunit", quantile(0.5, ENTROPY)),
    number("Photos answered", "reqps", rate(f"{SCORE}_count")),
)
SURENESS = (
    heat("Best score", "percentunit", SCORE),
    lines(
        "Best score",
        "percentunit",
        {f"{q:.0%} are below": quantile(q, SCORE) for q in (0.1, 0.5, 0.9)},
    ),
    lines("Mean of the best score", "percentunit", {"now": mean(SCORE)}),
)
DOUBT = (
    heat("Entropy of the answer, 1 where it says nothing", "percentunit", ENTROPY),
    lines(
        "Entropy",
        "percentunit",
        {f"{q:.0%} are below": quantile(q, ENTROPY) for q in (0.1, 0.5, 0.9)},
    ),
    lines("Best score against the day before, distance", "percentunit", {"{{job}}": DEVIATION}),
)
CHECKS = (
    lines("Canaries", "none", {"{{result}}": increase("canaries_total", by="result")}),
    lines("Golden answers right", "none", {"{{instance}}": series("golden_ok")}),
    lines(
        "Uploads that cannot be read",
        "reqps",
        {"{{reason}}": rate("outcomes_total", f'reason=~"{UNREADABLE}"', "reason")},
    ),
)


def quality() -> Dashboard:
    """Return the dashboard."""
    rows = {
        "Model": MODEL,
        "How sure the model is": SURENESS,
        "How much it doubts": DOUBT,
        "Checks": CHECKS,
    }
    return board("Photo classifier: model quality", "photo-classifier-quality", rows)
