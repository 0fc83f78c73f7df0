"""Which model answers, and how certain it is."""

from levels import Levels, Look, amount, falling, rising, switch
from panels import About, heat, lines, name, number
from queries import mean, quantile, rate, series

SCORE, ENTROPY, FAR = "top1_score_ratio", "entropy_ratio", "unfamiliarity_ratio"
# rules.yml records this series.
DISTRIBUTION = "classifier:top1_score_ratio:cdf1h"
DEVIATION = f"max by (job) (abs({DISTRIBUTION} - {DISTRIBUTION} offset 1d))"

MODEL = (
    name(
        "Model",
        f"sum by (name, version) ({series('model_info')})",
        "{{name}} {{version}}",
        About(
            "The models that answer now.",
            "one; two while you roll out or reload a new one.",
            "if two stay, some pods have not got the new model: see “A new model” in "
            "docs/operate/models.md.",
        ),
        Look(Levels("blue"), "no pods"),
    ),
    number(
        "Golden answers",
        "none",
        f"min({series('golden_ok')})",
        About(
            "Whether the workers of all pods compute the golden answers of the bundle.",
            "right.",
            "wrong means that a worker computes nonsense: see the runbook of "
            "ClassifierCanaryWrong.",
        ),
        Look(switch(), "no pods", {"0": ("wrong", "red"), "1": ("right", "green")}),
    ),
    number(
        "Median of the best score",
        "percentunit",
        quantile(0.5, SCORE),
        About(
            "Half of the answers have a best score below this value.",
            "40 to 90 % for photos like those that the model has learned.",
            "if it has fallen, clients send other photos, or the model is a new one.",
        ),
        Look(falling(bad_below=0.2, doubtful_below=0.4), "no answers"),
    ),
    number(
        "Median of the entropy",
        "percentunit",
        quantile(0.5, ENTROPY),
        About(
            "How undecided the model is: 0 % is certain of one class, 100 % finds all equal.",
            "5 to 40 %.",
            "as for the best score.",
        ),
        Look(rising(doubtful=0.4, bad=0.6), "no answers"),
    ),
    number(
        "Photos answered",
        "reqps",
        rate(f"{SCORE}_count"),
        About(
            "Answers per second.",
            "what your clients send. The panels below need some hundred answers an hour.",
            "look at the dashboard of the service.",
        ),
        Look(amount(), "no answers"),
    ),
)
SURENESS = (
    heat(
        "Distribution of the best score",
        "percentunit",
        SCORE,
        About(
            "How many answers have which best score; darker is more.",
            "the same bands every day.",
            "bands that move mean other photos or another model; see ClassifierDrift.",
        ),
    ),
    lines(
        "Quantiles of the best score",
        "percentunit",
        {f"{q:.0%} of answers are below": quantile(q, SCORE) for q in (0.1, 0.5, 0.9)},
        About(
            "The best scores of the least certain, the middle and the most certain answers.",
            "level lines with the same daily pattern.",
            "a lower 10 % line alone is one client with odd photos.",
        ),
    ),
    lines(
        "Mean of the best score",
        "percentunit",
        {"mean": mean(SCORE)},
        About(
            "The mean of the best scores.",
            "level, and close to the accuracy on your own photos if the model is calibrated.",
            "compare it with `evaluate` on labelled photos of the same days.",
        ),
    ),
)
DOUBT = (
    heat(
        "Entropy: 0 is certain, 100 % is undecided",
        "percentunit",
        ENTROPY,
        About(
            "How many answers are how undecided; darker is more.",
            "the same bands every day.",
            "see ClassifierDrift.",
        ),
    ),
    lines(
        "Quantiles of the entropy",
        "percentunit",
        {f"{q:.0%} of answers are below": quantile(q, ENTROPY) for q in (0.1, 0.5, 0.9)},
        About(
            "The entropies of the most certain, the middle and the least certain answers.",
            "level lines.",
            "if all rise, the photos are blurred, cut otherwise, or show other things.",
        ),
    ),
    lines(
        "Best scores: distance from the day before",
        "percentunit",
        {"{{job}}": DEVIATION},
        About(
            "How far the distribution of this hour's best scores is from the same hour yesterday.",
            "below 10 % with a few hundred answers an hour; few answers make it jump.",
            "above 15 % see the runbook of ClassifierDrift.",
        ),
        rising(doubtful=0.1, bad=0.15),
    ),
)
STRANGERS = (
    heat(
        "Unfamiliarity: from 50 % on no class fits",
        "percentunit",
        FAR,
        About(
            "How many photos are how far from all classes; darker is more. It stays empty if the "
            "bundle cannot tell.",
            "the same bands every day, most of them below 50 %.",
            "bands above 50 % are photos of other things; see “Knowing what it does not know” in "
            "docs/train.md.",
        ),
    ),
    lines(
        "Photos called unfamiliar",
        "reqps",
        {"unfamiliar": rate("unfamiliar_photos_total")},
        About(
            "Photos per second that show none of the classes, as the bundle can tell.",
            "at most 5 % of all photos, if clients send what the model has learned.",
            "look at such photos: either clients send other things, or a class is missing.",
        ),
    ),
)
