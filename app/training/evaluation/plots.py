"""Plots of a run and of an evaluation, as PNG files."""

import warnings
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from app.errors import StartupError
from app.training.evaluation.accuracy import Ints, Reliability

try:
    from matplotlib.figure import Figure
except ImportError as error:
    raise StartupError("plots need matplotlib: run `make .venv/train`") from error

# An axis with more names than this cannot be read.
_MAX_NAMES = 40
_BLUE, _ORANGE, _GREY = "#2563eb", "#d97706", "#8a90a0"


def draw_confusion(confusion: Ints, names: Sequence[str], path: Path) -> None:
    """Draw a confusion matrix, (classes, classes), with a row for each true class.

    The colour of a cell is its share of the row's photos.
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
        axes.set_xticks(ticks, names, rotation=90)
        axes.set_yticks(ticks, names)
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
    """Draw loss and top-1 accuracy by epoch, with a dotted line where the next phase begins."""
    figure = Figure((9, 3.6), layout="constrained")
    epochs = range(1, len(rows) + 1)
    for axes, name, title in zip(
        figure.subplots(1, 2), ("loss", "top1"), ("loss", "top-1"), strict=True
    ):
        axes.plot(epochs, [row[name] for row in rows], color=_ORANGE, label="training views")
        axes.plot(epochs, [row[f"val_{name}"] for row in rows], color=_BLUE, label="held out")
        for epoch, (row, following) in enumerate(pairwise(rows), 1):
            if row["phase"] != following["phase"]:
                axes.axvline(epoch + 0.5, color=_GREY, linestyle=":")
        axes.set(xlabel="epoch", title=title)
        axes.legend()
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    # Matplotlib draws boxes for letters that its font lacks, and warns about each of them.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        figure.savefig(path, dpi=100, bbox_inches="tight")
