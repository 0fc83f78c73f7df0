"""Writes an evaluation: metrics for programs, tables for spreadsheets, plots for people."""

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from app.disk import replacing
from app.training.evaluation.evaluate import Evaluation
from app.training.report.markup import ODD_NAMES
from app.training.report.mistakes import draw_mistakes
from app.training.report.plots import draw_confusion, draw_reliability

_CLASS_COLUMNS = ("class_id", "class", "photos", "precision", "recall", "f1")


def write(
    evaluation: Evaluation, directory: Path, max_pixels: int, font: Path | None = None
) -> None:
    """Write all files to `directory`, which must exist. Files with the same names are replaced.

    The files are evaluation.json, classes.csv, confusion.csv, confusion.png, reliability.png,
    mistakes.png, predictions.csv and scores.npy: (N, classes) float32 with the rows in the order of
    predictions.csv. The names of classes in the pictures are in `font`.
    """
    result, shown = evaluation.result, evaluation.occurring
    names = [evaluation.names[class_id] for class_id in shown]
    confusion = result.confusion()[np.ix_(shown, shown)]
    write_json(directory / "evaluation.json", _document(evaluation))
    _write_csv(directory / "classes.csv", _CLASS_COLUMNS, evaluation.class_rows())
    rows = ([name, *row] for name, row in zip(names, confusion.tolist(), strict=True))
    _write_csv(directory / "confusion.csv", ["is / said", *names], rows)
    columns = ("file", "class", "said", "score", "class_score")
    _write_csv(directory / "predictions.csv", columns, _predictions(evaluation))
    np.save(directory / "scores.npy", result.scores)
    draw_confusion(confusion, names, directory / "confusion.png", font)
    draw_reliability(result.reliability(), directory / "reliability.png")
    draw_mistakes(evaluation, directory / "mistakes.png", max_pixels, font)


def _document(evaluation: Evaluation) -> dict[str, Any]:
    rows = [dict(zip(_CLASS_COLUMNS, row, strict=True)) for row in evaluation.class_rows()]
    reliability = evaluation.result.reliability()
    bins = {name: column.tolist() for name, column in reliability._asdict().items()}
    return evaluation.document() | {"by_class": rows, "reliability": bins}


def _predictions(evaluation: Evaluation) -> Iterator[tuple[Any, ...]]:
    names, predicted = evaluation.names, evaluation.result.predicted.tolist()
    for sample, best, scores in zip(
        evaluation.samples, predicted, evaluation.result.scores, strict=True
    ):
        both = (f"{scores[class_id]:.6f}" for class_id in (best, sample.class_id))
        yield str(sample.path), names[sample.class_id], names[best], *both


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write a document as JSON that people can read, too."""
    text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8", errors=ODD_NAMES)


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with (
        replacing(path) as part,
        part.open("w", encoding="utf-8", errors=ODD_NAMES, newline="") as file,
    ):
        table = csv.writer(file)
        table.writerow(header)
        table.writerows(rows)
