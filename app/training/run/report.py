"""The report of a run: its curves as PNG, and an HTML page that needs no other file."""

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from app.training.evaluation.plots import draw_curves
from app.training.run.folder import Run

_COLUMNS = ("phase", "epoch", "size", "lr", "loss", "top1", "val_loss", "val_top1", "photos_per_s")

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums }}
th, td {{ padding: .2rem .7rem; text-align: right; border-bottom: 1px solid #ddd }}
th:first-child, td:first-child {{ text-align: left }}
tr.best {{ font-weight: bold }} img {{ width: 100% }} dt {{ float: left; min-width: 10rem }}
</style>
<h1>{title}</h1>
<p>Best epoch: {best}. Held out: {validation} photos, learned from: {train}, classes: {classes}.</p>
<img alt="loss and top-1 by epoch" src="data:image/png;base64,{picture}">
<h2>Epochs</h2>{epochs}
<h2>Settings</h2>{settings}
</html>
"""


def write_report(run: Run, rows: Sequence[dict[str, Any]]) -> None:
    """Write `curves.png` and `report.html`, with a row of metrics for each epoch so far."""
    picture = run.folder / "curves.png"
    draw_curves(rows, picture)
    (run.folder / "report.html").write_text(_page(run, rows, picture), encoding="utf-8")


def _page(run: Run, rows: Sequence[dict[str, Any]], picture: Path) -> str:
    best = [row for row in rows if row["best"]][-1]
    photos = run.photos
    return _PAGE.format(
        title=escape(f"Run {run.folder.name}"),
        best=f"{best['phase']} {best['epoch']}, top-1 {best['val_top1']:.2%}",
        validation=len(photos.validation),
        train=len(photos.train),
        classes=len(photos.classes),
        picture=base64.b64encode(picture.read_bytes()).decode(),
        epochs=_table(rows),
        settings=_settings(run),
    )


def _table(rows: Sequence[dict[str, Any]]) -> str:
    head = "".join(f"<th>{name}</th>" for name in _COLUMNS)
    lines = (
        f"<tr{' class=best' if row['best'] else ''}>"
        + "".join(f"<td>{_cell(row[name])}</td>" for name in _COLUMNS)
        + "</tr>"
        for row in rows
    )
    return f"<table><tr>{head}</tr>{''.join(lines)}</table>"


def _cell(value: Any) -> str:  # noqa: ANN401  (a number or a text)
    return f"{value:.4g}" if isinstance(value, float) else escape(str(value))


def _settings(run: Run) -> str:
    recipe = run.recipe
    facts = {"weights from": recipe.origin.get("source"), **recipe.options.model_dump()}
    lines = (f"<dt>{escape(k)}</dt><dd>{escape(str(v))}</dd>" for k, v in facts.items())
    return f"<dl>{''.join(lines)}</dl>"
