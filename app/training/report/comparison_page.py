"""The page of several bundles on the same photos: one HTML file that needs no other."""

from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

from app.training.evaluation.compare import Comparison, Contender
from app.training.report.looks import Looks
from app.training.report.markup import (
    Markup,
    picture,
    section,
    share_cell,
    table,
    tag,
    tiles,
    write_page,
)
from app.training.report.sections import mean_recall, photo_grid

_MAX_PHOTOS = 24
_VERDICTS = {
    "better": "It is better than the first one.",
    "worse": "It is worse than the first one.",
    "unclear": "These photos cannot tell which one is better.",
}


def write_comparison_page(
    contenders: Sequence[Contender],
    comparisons: Sequence[Comparison],
    looks: Looks,
    command: str,
    path: Path,
) -> None:
    """Write the page, which leads to the pages of the bundles in the folders 1, 2, ... beside it.

    Args:
        contenders: the bundles.
        comparisons: each but the first beside the first.
        looks: draws the photos.
        command: repeats the comparison.
        path: of the page.
    """
    about = (
        "Each bundle is compared with the first one, photo by photo. Points are hundredths of all "
        "photos. If the interval holds 0, these photos cannot tell which bundle is better. The "
        "interval is that of Bonett and Price for paired shares; p is McNemar's test, as mid-p."
    )
    write_page(
        path,
        f"{len(contenders)} bundles on the same photos",
        section("Accuracy", about, _accuracy(contenders)),
        *(_beside(comparison, looks) for comparison in comparisons),
        section("The command to repeat it", "", tag("pre", command)),
    )


def _accuracy(contenders: Sequence[Contender]) -> Markup:
    rows = [
        (
            tag("td", tag("a", contender.name, href=f"{number}/report.html"), class_="text"),
            share_cell(contender.evaluation.result.top(1)),
            share_cell(mean_recall(contender.evaluation.result)),
            f"{contender.evaluation.result.reliability().error:.3f}",
        )
        for number, contender in zip(count(1), contenders, strict=False)
    ]
    return table(("bundle", "top-1", "mean recall", "calibration error"), rows)


def _beside(comparison: Comparison, looks: Looks) -> Markup:
    about = _VERDICTS[comparison.verdict]
    if len(comparison.differing) > _MAX_PHOTOS:
        about += f" Of the photos that only one of them got right, these are {_MAX_PHOTOS}."
    return section(
        f"{comparison.contender.name} beside {comparison.first.name}",
        about,
        tiles(_difference(comparison)),
        tag("br"),
        _photos(comparison, looks),
    )


def _difference(comparison: Comparison) -> Iterator[tuple[str, str, str]]:
    pair, (low, high) = comparison.pair, comparison.pair.interval
    interval = f"95 % interval {100 * low:+.1f} to {100 * high:+.1f}"
    yield "Difference in top-1", f"{100 * pair.difference:+.1f} points", interval
    yield "Only this one is right", f"{pair.only_this}", f"of {pair.photos} photos"
    yield "Only the first is right", f"{pair.only_that}", f"of {pair.photos} photos"
    yield "p", f"{pair.p_value:.3f}", "how usual such a difference is by chance"


def _photos(comparison: Comparison, looks: Looks) -> Markup:
    sides = [(c.name, _answers(c)) for c in (comparison.contender, comparison.first)]
    figures = []
    for path in comparison.differing[:_MAX_PHOTOS]:
        lines = (tag("small", f"{name}: {answers[path]}") for name, answers in sides)
        image = looks.at(path)
        shown = picture(image, path.name) if image else ""
        caption = tag("figcaption", tag("span", path.name, title=str(path)), *lines)
        figures.append(tag("figure", shown, caption))
    return photo_grid(figures, wide=False)


def _answers(contender: Contender) -> dict[Path, str]:
    """Return what the bundle said of each photo."""
    evaluation, result = contender.evaluation, contender.evaluation.result
    answers = {}
    for sample, said, score in zip(
        evaluation.samples, result.predicted.tolist(), result.confidence.tolist(), strict=True
    ):
        mark = "right" if said == sample.class_id else "wrong"
        answers[sample.path] = f"{evaluation.names[said]} {score:.2f}, {mark}"
    return answers
