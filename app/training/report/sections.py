"""The sections that the page of a run and the page of an evaluation have in common."""

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from app.training.data.dataset import Sample
from app.training.evaluation.accuracy import Scored
from app.training.evaluation.intervals import wilson
from app.training.report.charts import calibration
from app.training.report.looks import Looks
from app.training.report.markup import (
    Markup,
    details,
    join,
    picture,
    section,
    share_cell,
    table,
    tag,
)

_MAX_CLASSES = 60
_MAX_PAIRS = 15
_MAX_MISTAKES = 24
_MAX_RIGHT = 8


class Judged(Protocol):
    """Photos whose classes are known, with a classifier's answers."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all classes."""

    @property
    def samples(self) -> tuple[Sample, ...]:
        """The photos and their classes."""

    @property
    def result(self) -> Scored:
        """The scores of the photos."""


def accuracy_tiles(judged: Judged) -> Iterator[tuple[str, str, str]]:
    """Yield the main figures as (name, value, remark)."""
    result, photos = judged.result, len(judged.samples)
    right = round(result.top(1) * photos)
    low, high = wilson(right, photos)
    yield (
        "Right (top-1)",
        f"{result.top(1):.1%}",
        f"{right} of {photos} photos; 95 % interval {low:.1%} to {high:.1%}",
    )
    yield "Mean recall of the classes", f"{mean_recall(result):.1%}", "each class counts the same"
    if len(judged.names) > 5:
        yield "Among the first five", f"{result.top(5):.1%}", ""
    error = result.reliability().error
    yield "Calibration error", f"{error:.3f}", "0 means: the scores are honest"


def mean_recall(result: Scored) -> float:
    """Return the mean recall of the classes that have photos."""
    classes = result.by_class()
    return float(classes.recall[classes.photos > 0].mean())


def judged_sections(judged: Judged, looks: Looks, about_scores: str = "") -> Markup:
    """Return the sections from the classes to where the network looked.

    Args:
        judged: the photos and the answers.
        looks: draws the photos.
        about_scores: what else the reader must know about the scores.
    """
    return join(
        (
            _classes(judged),
            _pairs(judged),
            _mistakes(judged, looks),
            _calibration(judged, about_scores),
            _right(judged, looks),
        )
    )


def _classes(judged: Judged) -> Markup:
    metrics = judged.result.by_class()
    occurring = np.flatnonzero(metrics.photos)
    order = occurring[np.lexsort((occurring, metrics.recall[occurring]))].tolist()
    rows = [
        (
            judged.names[i],
            f"{round(metrics.recall[i] * metrics.photos[i])} of {metrics.photos[i]}",
            share_cell(metrics.recall[i]),
            share_cell(metrics.precision[i]),
        )
        for i in order
    ]
    head = ("class", "right", "recall", "precision")
    about = (
        "Recall is the share of a class's photos that got this class. Precision is the share of "
        "the photos with this answer that are of the class. The worst recall comes first."
    )
    return section(
        "Classes",
        about,
        table(head, rows[:_MAX_CLASSES]),
        details(f"{len(rows) - _MAX_CLASSES} more classes", table(head, rows[_MAX_CLASSES:]))
        if len(rows) > _MAX_CLASSES
        else "",
    )


def _pairs(judged: Judged) -> Markup:
    confusion = judged.result.confusion()
    photos = confusion.sum(axis=1)
    np.fill_diagonal(confusion, 0)
    cells = np.argwhere(confusion)
    order = np.argsort(-confusion[confusion > 0], kind="stable")[:_MAX_PAIRS]
    rows = [
        (
            judged.names[true],
            tag("td", judged.names[said], class_="text"),
            f"{confusion[true, said]} of {photos[true]}",
        )
        for true, said in cells[order].tolist()
    ]
    about = "Which class was taken for which other one, and how many of its photos."
    if not rows:
        return section("Worst pairs", "No class was taken for another one.")
    return section(
        "Worst pairs",
        about,
        table(("class", tag("th", "taken for", class_="text"), "photos"), rows),
    )


def _mistakes(judged: Judged, looks: Looks) -> Markup:
    wrong = judged.result.mistakes()
    if not len(wrong):
        return section("Mistakes", "There is no mistake.")
    about = f"{len(wrong)} of {len(judged.samples)} photos, the surest mistake first"
    if len(wrong) > _MAX_MISTAKES:
        about += f"; these are the first {_MAX_MISTAKES}"
    about += ". Look for wrong labels, too."
    if looks.heat:
        about += " The second picture shows where the network looked for its answer."
    shown = wrong[:_MAX_MISTAKES].tolist()
    return section("Mistakes", about, photo_grid([_photo(judged, looks, i) for i in shown]))


def _right(judged: Judged, looks: Looks) -> Markup:
    heading = "Where it looked"
    if not looks.heat:
        return section(
            heading, "This network does not end in pooling and one layer: no map would be exact."
        )
    result = judged.result
    right = np.flatnonzero(result.predicted == result.truth)
    if not len(right):
        return section(heading, "No answer was right.")
    order = right[np.argsort(result.confidence[right], kind="stable")]
    chosen = order[np.unique(np.linspace(0, len(order) - 1, _MAX_RIGHT).round().astype(int))]
    about = "Right answers, from the least sure to the surest. Warm colours spoke for the answer."
    return section(heading, about, photo_grid([_photo(judged, looks, i) for i in chosen.tolist()]))


def _photo(judged: Judged, looks: Looks, index: int) -> Markup:
    sample, result = judged.samples[index], judged.result
    said = int(result.predicted[index])
    lines = [f"said: {judged.names[said]} {result.scores[index, said]:.2f}"]
    if said != sample.class_id:
        own = result.scores[index, sample.class_id]
        lines.append(f"label: {judged.names[sample.class_id]} {own:.2f}")
    name = sample.path.name
    pictures = [
        picture(image, alt)
        for image, alt in (
            (looks.at(sample.path), name),
            (looks.heated(sample.path, said), f"where the network looked on {name}"),
        )
        if image
    ]
    texts = [part for line in lines for part in (line, tag("br"))][:-1]
    caption = tag("figcaption", *texts, tag("small", name, title=str(sample.path)))
    return tag("figure", tag("div", *pictures, class_="pair"), caption)


def photo_grid(figures: Sequence[Markup], *, wide: bool = True) -> Markup:
    """Return figures side by side, as many as the screen has room for."""
    return tag("div", *figures, class_="photos wide" if wide else "photos")


def _calibration(judged: Judged, about_scores: str) -> Markup:
    reliability = judged.result.reliability()
    bins = len(reliability.photos)
    rows = [
        (f"{i / bins:.0%} to {(i + 1) / bins:.0%}", f"{photos}", f"{score:.1%}", f"{accuracy:.1%}")
        for i, (photos, score, accuracy) in enumerate(zip(*reliability, strict=True))
        if photos
    ]
    about = (
        "Of the answers with a score of 80 %, 80 % should be right: then the points lie on the "
        "dashed line. The number above a point says how many photos it stands for. The upright "
        "line is a 95 % interval: with few photos, the point says little."
    )
    return section(
        "Calibration",
        about + about_scores,
        tag("div", calibration(reliability), class_="charts"),
        details("The points as a table", table(("score", "photos", "mean score", "right"), rows)),
    )
