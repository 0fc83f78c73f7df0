"""Plots of a run and of an evaluation, as PNG files."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from app.errors import StartupError
from app.training.evaluation.accuracy import Ints, Reliability
from app.training.report.epochs import best_epoch, both_curves, phase_ends

try:
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontProperties
except ImportError as error:
    raise StartupError("plots need matplotlib: run `make .venv/train`") from error

# An axis with more names than this cannot be read.
_MAX_NAMES = 40
_BLUE, _ORANGE, _GREY = "#2563eb", "#d97706", "#8a90a0"


def draw_confusion(
    confusion: Ints, names: Sequence[str], path: Path, font: Path | None = None
) -> None:
    """Draw a confusion matrix, (classes, classes), with a row for each true class.

    The colour of a cell is its share of the row's photos. The names are in `font` if it is given.
    """
    named = len(names) <= _MAX_NAMES
    side = 2 + 0.28 * len(names) if named else 6.5
    figure = Figure((side, side))
    # The names stand outside of the axes; `_save` enlarges the picture to hold them.
    axes = figure.add_axes((0, 0, 1, 1))
    shares = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="predicted class", ylabel="true class")
    if named:
        # Matplotlib would draw the text between two dollar signs as a formula.
        names = [name.replace("$", r"\$") for name in names]
        ticks = range(len(names))
        letters = FontProperties(fname=font) if font else FontProperties()
        axes.set_xticks(ticks, names, rotation=90, fontproperties=letters)
        axes.set_yticks(ticks, names, fontproperties=letters)
        for row, column in np.argwhere(confusion):
            colour = "white" if shares[row, column] > 0.5 else "black"
            text = str(confusion[row, column])
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
    _save(figure, path)


def draw_reliability(reliability: Reliability, path: Path) -> None:
    """Draw the accuracy by confidence, and below it the number of photos in each bin."""
    figure = Figure((5, 5.5), layout="constrained")
    curve, histogram = figure.subplots(2, sharex=True, height_ratios=(3, 1))
    bins = len(reliability.photos)
    edges = np.arange(bins) / bins
    filled = reliability.photos > 0
    curve.plot((0, 1), (0, 1), color=_GREY, linestyle="--", label="calibrated")
    curve.bar(edges, reliability.accuracy, 1 / bins, align="edge", color=_BLUE, alpha=0.3)
    curve.plot(
        reliability.confidence[filled],
        reliability.accuracy[filled],
        "o-",
        color=_BLUE,
        label="model",
    )
    curve.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.02))
    curve.set_title(f"expected calibration error {reliability.error:.3f}")
    curve.legend(loc="lower right")
    histogram.bar(edges, reliability.photos, 1 / bins, align="edge", color=_GREY)
    histogram.set(xlabel="score of the likeliest class", ylabel="photos")
    _save(figure, path)


def draw_curves(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw loss and top-1 accuracy by epoch, with the best epoch and the ends of the phases."""
    figure = Figure((9, 3.6), layout="constrained")
    epochs = range(1, len(rows) + 1)
    best = best_epoch(rows)
    for axes, (title, training, held_out) in zip(
        figure.subplots(1, 2), both_curves(rows), strict=True
    ):
        axes.plot(epochs, training, color=_ORANGE, label="training views")
        axes.plot(epochs, held_out, color=_BLUE, label="held out")
        axes.plot(best, held_out[best - 1], "o", color=_BLUE, label=f"best: epoch {best}")
        for epoch in phase_ends(rows):
            axes.axvline(epoch + 0.5, color=_GREY, linestyle=":")
        axes.set(xlabel="epoch", title=title)
        axes.legend()
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    # Matplotlib draws boxes for letters that its font lacks, and warns about each of them.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        figure.savefig(path, dpi=100, bbox_inches="tight")
