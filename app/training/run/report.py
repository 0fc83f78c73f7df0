"""The page of a run: one HTML file that needs no other. Its curves are also a PNG."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from PIL import Image

from app.disk import room_for
from app.errors import StartupError, command
from app.pace import duration
from app.training.data.dataset import Sample
from app.training.data.loader import PhotoReader, View
from app.training.report.charts import Line, curves
from app.training.report.epochs import best_epoch, both_curves, comparable, phase_ends
from app.training.report.looks import SIDE
from app.training.report.markup import (
    Markup,
    details,
    picture,
    section,
    table,
    tag,
    tiles,
    write_page,
)
from app.training.report.plots import draw_curves
from app.training.report.sections import accuracy_tiles, judged_sections, photo_grid
from app.training.run.folder import Run
from app.training.run.judge import HeldOut

Rows = Sequence[Mapping[str, Any]]

# What the table of epochs shows, if the run has recorded it.
_COLUMNS = {
    "phase": "phase",
    "epoch": "epoch",
    "size": "size",
    "lr": "learning rate",
    "loss": "training loss",
    "plain_loss": "cross-entropy",
    "top1": "top-1",
    "val_plain_loss": "held out: cross-entropy",
    "val_loss": "held out: calibrated",
    "val_top1": "held out: top-1",
    "photos_per_s": "photos/s",
}
_VIEWED, _VIEWS = 3, 5  # photos, and random views of each


def write_report(
    run: Run, rows: Rows, reader: PhotoReader, held_out: HeldOut | None = None
) -> None:
    """Write `curves.png` and `report.html`.

    Args:
        run: the run.
        rows: the metrics of each epoch so far.
        reader: draws the random views that the network learned from.
        held_out: what the best network says of the held-out photos; None before the run has ended.
    """
    picture = run.folder / "curves.png"
    with room_for(picture):
        draw_curves([dict(row) for row in rows], picture)
    write_page(
        run.folder / "report.html",
        f"Run {run.folder.name}",
        tag("p", _about(run, rows, ended=held_out is not None)),
        tiles(_tiles(rows, held_out)),
        _curves(run, rows),
        _judged(held_out) if held_out else "",
        _views(run, reader),
        _epochs(rows),
        details("Settings", table(("setting", "value"), _settings(run))),
        section("The command to repeat it", "", tag("pre", run.command or _UNKNOWN)),
    )


_UNKNOWN = "(the run has not recorded it)"


def _about(run: Run, rows: Rows, *, ended: bool) -> str:
    photos = run.photos
    about = (
        f"{len(photos.classes)} classes, learned from {len(photos.train)} photos, held out "
        f"{len(photos.validation)}. The held-out photos have chosen the best epoch, so other "
        "photos may give a little less: the command evaluate measures it."
    )
    if ended:
        return about
    go_on = command("train", "--resume", run.folder)
    return f"{about} The run has stopped after {len(rows)} epochs; go on with: {go_on}"


def _tiles(rows: Rows, held_out: HeldOut | None) -> Iterator[tuple[str, str, str]]:
    number = best_epoch(rows)
    best = rows[number - 1]
    if held_out:
        yield from accuracy_tiles(held_out)
    else:
        yield "Right (top-1)", f"{best['val_top1']:.1%}", "of the held-out photos"
    remark = f"{best['phase']} {best['epoch']}, of {len(rows)} epochs in all"
    yield "Best epoch", f"{number}", remark
    seconds = sum(row.get("seconds", 0.0) for row in rows)
    yield "Time", duration(seconds) if seconds else "not recorded", "to learn"


def _curves(run: Run, rows: Rows) -> Markup:
    number, ends = best_epoch(rows), phase_ends(rows)
    charts = []
    for title, training, held_out in both_curves(rows):
        lines = [
            Line("training views", "orange", list(enumerate(training, 1))),
            Line("held out", "blue", list(enumerate(held_out, 1))),
        ]
        if title == "cross-entropy":
            calibrated = [(epoch, float(row["val_loss"])) for epoch, row in enumerate(rows, 1)]
            lines.append(Line("held out, calibrated", "dim", calibrated))
        boundaries = [epoch + 0.5 for epoch in ends]
        charts.append(curves(title, lines, number, boundaries, percent=title == "top-1"))
    about = f"The dashed line marks the best epoch, {number}."
    if ends:
        names = dict.fromkeys(str(row["phase"]) for row in rows)
        about += f" Dotted lines divide the phases: {', '.join(names)}."
    about += _what_is_compared(run, rows)
    return section("Learning", about, tag("div", *charts, class_="charts"))


def _what_is_compared(run: Run, rows: Rows) -> str:
    if not comparable(rows):
        return (
            " The two losses cannot be compared: that of the training views has a label smoothing "
            f"of {run.recipe.options.smoothing:g}, the other one has none."
        )
    return (
        " Both losses are the plain cross-entropy, without label smoothing and class weights. "
        "Still the training views are the harder photos, cropped at random, and they are judged "
        "while the network learns; the held-out photos are judged after each epoch, by the moving "
        "average of the weights. Label smoothing keeps the scores low while the network learns. "
        "The grey line is the loss once they are calibrated, as the export does it; it chooses the "
        "best epoch."
    )


def _judged(held_out: HeldOut) -> Markup:
    about = (
        " The scores are those of the bundle that the command export writes: the logits are "
        f"divided by a temperature of {held_out.temperature:.2f}. It is fitted on these photos, so "
        "other photos fit a little less."
    )
    return judged_sections(held_out, held_out.looks, about)


def _views(run: Run, reader: PhotoReader) -> Markup:
    heading = "What it learned from"
    if reader.augmentation is None:
        return section(heading, "The photos as the server sees them: the run has no random views.")
    figures = []
    # A photo may have gone since; then the page has one example less.
    for number, sample in enumerate(_spread(run.photos.train)):
        keys = [None, *((run.recipe.options.seed, number, view) for view in range(_VIEWS))]
        with suppress(StartupError):
            views = reader.read([View(sample.path, key) for key in keys])
            caption = tag("figcaption", tag("small", sample.path.name, title=str(sample.path)))
            alt = f"{sample.path.name}, as it is and in {_VIEWS} random views"
            figures.append(tag("figure", picture(_strip(views), alt), caption))
    about = (
        "Top left is the photo as the server sees it. The others are random views, as in training."
    )
    return section(heading, about, photo_grid(figures))


def _spread(samples: Sequence[Sample]) -> list[Sample]:
    """Return a few photos that lie far from each other in the list, so in different classes."""
    places = np.unique(np.linspace(0, len(samples) - 1, _VIEWED).round().astype(int))
    return [samples[place] for place in places.tolist()]


def _strip(views: np.ndarray[Any, np.dtype[np.uint8]]) -> Image.Image:
    """Return pictures, (N, H, W, 3), as two rows."""
    small = [Image.fromarray(view).resize((SIDE, SIDE)) for view in views]
    columns = -(-len(small) // 2)
    strip = Image.new("RGB", (columns * SIDE, 2 * SIDE))
    for number, view in enumerate(small):
        strip.paste(view, (number % columns * SIDE, number // columns * SIDE))
    return strip


def _epochs(rows: Rows) -> Markup:
    names = [name for name in _COLUMNS if any(name in row for row in rows)]
    cells = [[_cell(row.get(name, "")) for name in names] for row in rows]
    head = [_COLUMNS[name] for name in names]
    return details("All epochs", table(head, cells, best_epoch(rows) - 1))


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _settings(run: Run) -> Iterator[tuple[str, str]]:
    recipe = run.recipe
    yield "weights from", str(recipe.origin.get("source"))
    for name, value in recipe.options.model_dump().items():
        yield name, str(value)
