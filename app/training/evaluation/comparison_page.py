"""The page of several bundles on the same photos: one HTML file that needs no other."""

from collections.abc import Sequence
from itertools import count
from pathlib import Path

from app.pace import duration
from app.training.evaluation.compare import Comparison, Contender
from app.training.evaluation.looks import Looks
from app.training.evaluation.markup import (
    Markup,
    join,
    picture,
    section,
    share_cell,
    table,
    tag,
    write_page,
)
from app.training.evaluation.sections import mean_recall, photo_grid

_MAX_PHOTOS = 24


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
    first = contenders[0].name
    about = (
        f"Each bundle beside {first}, photo by photo. Points are hundredths of all photos. If the "
        "interval holds 0, these photos cannot tell which bundle is better. The interval is that "
        "of Bonett and Price for paired shares; p is McNemar's test, as mid-p."
    )
    head = ("bundle", "difference", "95 % interval", "only it right", "only the first right", "p")
    write_page(
        path,
        f"{len(contenders)} bundles on the same photos",
        section("Accuracy", "", _accuracy(contenders)),
        section("Differences", about, table((*head, "verdict"), map(_difference, comparisons))),
        *(_photos(comparison, looks) for comparison in comparisons),
        section("The command to repeat it", "", tag("pre", command)),
    )


def _accuracy(contenders: Sequence[Contender]) -> Markup:
    rows = [
        (
            tag("td", tag("a", contender.name, href=f"{number}/report.html"), class_="text"),
            f"{len(contender.evaluation.samples)}",
            share_cell(contender.evaluation.result.top(1)),
            share_cell(mean_recall(contender.evaluation.result)),
            f"{contender.evaluation.result.reliability().error:.3f}",
            duration(contender.evaluation.seconds),
        )
        for number, contender in zip(count(1), contenders, strict=False)
    ]
    return table(("bundle", "photos", "top-1", "mean recall", "calibration error", "time"), rows)


def _difference(comparison: Comparison) -> tuple[str, ...]:
    pair, (low, high) = comparison.pair, comparison.pair.interval
    return (
        comparison.contender.name,
        f"{100 * pair.difference:+.1f} points",
        f"{100 * low:+.1f} to {100 * high:+.1f}",
        f"{pair.only_first}",
        f"{pair.only_second}",
        f"{pair.p_value:.3f}",
        comparison.verdict,
    )


def _photos(comparison: Comparison, looks: Looks) -> Markup:
    heading = f"Where {comparison.contender.name} and {comparison.first.name} differ"
    if not comparison.differing:
        return section(heading, "Both are right and wrong about the same photos.")
    about = f"{len(comparison.differing)} photos that only one of them got right"
    if len(comparison.differing) > _MAX_PHOTOS:
        about += f"; these are the first {_MAX_PHOTOS}"
    sides = [(c.name, _answers(c)) for c in (comparison.contender, comparison.first)]
    figures = []
    for path in comparison.differing[:_MAX_PHOTOS]:
        lines = (tag("small", f"{name}: {answers[path]}") for name, answers in sides)
        image = looks.at(path)
        shown = picture(image, path.name) if image else ""
        caption = tag("figcaption", tag("span", path.name, title=str(path)), *lines)
        figures.append(tag("figure", shown, caption))
    return join((section(heading, about + "."), photo_grid(figures, wide=False)))


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
