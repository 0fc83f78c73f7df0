"""`evaluate`."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table

from app.cli.comparison import comparison_tables
from app.cli.options import repeated
from app.cli.terminal import plain_console, tell, with_progress
from app.disk import room_for
from app.errors import StartupError
from app.settings import read_settings

if TYPE_CHECKING:
    from app.training.evaluation.compare import Comparison, Contender
    from app.training.evaluation.evaluate import Evaluation
    from app.training.report.looks import Looks

_MAX_ROWS = 50


def evaluate(
    context: typer.Context,
    bundles: Annotated[
        list[Path],
        typer.Argument(
            metavar="BUNDLE...", help="Directory of the model bundle; several are compared"
        ),
    ],
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="Folder of class folders, folder that holds test/, or list file"
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write a page, tables and plots to this folder"),
    ] = None,
    broken: Annotated[
        Literal["skip", "fail"],
        typer.Option(help="Skip photos that cannot be read, or fail at the first one"),
    ] = "skip",
    font: Annotated[
        Path | None,
        typer.Option(help="Font file for the names in pictures, if no font here has their letters"),
    ] = None,
) -> None:
    """Measure a bundle's accuracy on labelled photos, with the code that serves.

    A class folder has the name or the number of its class. With several bundles,
    each is compared with the first one on the same photos.
    The last line on standard output is a JSON document.
    """
    if output:
        # Without matplotlib or write permission, the command fails here, before the long work.
        from app.training.report.evaluation_files import write  # noqa: F401

        output.mkdir(parents=True, exist_ok=True)
    from app.training.evaluation import compare

    repeat = repeated(context)
    contenders = [
        compare.Contender(str(bundle), _evaluated(bundle, data, broken)) for bundle in bundles
    ]
    first = contenders[0].evaluation
    if len(contenders) == 1:
        _show(first)
        document = first.document()
        if output:
            with room_for(output):
                _write(first, output, repeat, font)
    else:
        comparisons = compare.compare(contenders)
        for table in comparison_tables(contenders, comparisons):
            plain_console().print(table)
        document = compare.document(contenders, comparisons)
        if output:
            with room_for(output):
                _write_comparison(contenders, comparisons, output, repeat, font)
    for error in first.skipped:
        plain_console().print(f"skipped {error.file}: {error.detail}", soft_wrap=True)
    print(json.dumps(document, ensure_ascii=False))


def _evaluated(model_dir: Path, data: Path, broken: str) -> "Evaluation":
    from app.host import granted_cores
    from app.model.bundle import load_bundle
    from app.model.engine import Engine
    from app.model.offline import classify
    from app.training.data.dataset import held_out, read_dataset
    from app.training.evaluation.evaluate import evaluate

    settings = read_settings(model_dir=model_dir)
    bundle = load_bundle(settings.model_dir)
    if bundle.post_process.threshold is not None:
        raise StartupError(
            f"evaluate measures how often the likeliest class is right, but {model_dir} names "
            "classes by thresholds"
        )
    engine = Engine(bundle, settings.device, granted_cores(), settings.engine)
    labels = bundle.labels or [str(class_id) for class_id in range(engine.classes)]
    samples = read_dataset(held_out(data), labels).samples
    answers = classify([s.path for s in samples], bundle, engine, settings.max_pixels)
    tracked_answers = with_progress(answers, len(samples), f"classifying with {model_dir}")
    return evaluate(bundle, samples, tracked_answers, skip_broken=broken == "skip")


def _show(evaluation: "Evaluation") -> None:
    console = plain_console()
    console.print(_class_table(evaluation))
    for line in _sentences(evaluation):
        console.print(line, soft_wrap=True)


def _sentences(evaluation: "Evaluation") -> Iterator[str]:
    """Yield what the table of classes does not say."""
    top1, recall = evaluation.result.top(1), evaluation.recall
    yield f"top-1 {top1:.1%}, {recall.sentence(evaluation.names)}"
    if evaluation.unfamiliar is not None:
        yield f"{evaluation.unfamiliar:.1%} of the photos are called unfamiliar"


def _looks(evaluation: "Evaluation") -> "Looks":
    from app.host import granted_cores
    from app.model.features import FeatureNetwork
    from app.training.report.looks import Looks, heat_of

    bundle, settings = evaluation.bundle, read_settings()
    heat = heat_of(
        lambda: FeatureNetwork(bundle, settings.device, granted_cores(), settings.engine)
    )
    return Looks(settings.max_pixels, bundle.preprocessing, heat)


def _write(evaluation: "Evaluation", output: Path, repeat: str, font: Path | None) -> None:
    """Write the files and the page of an evaluation."""
    from app.images import fonts
    from app.training.report.evaluation_files import write
    from app.training.report.evaluation_page import write_evaluation_page

    choice = fonts.choose((evaluation.names[i] for i in evaluation.occurring.tolist()), font)
    if choice.warning:
        tell(choice.warning)
    write(evaluation, output, read_settings().max_pixels, choice.file)
    page = output / "report.html"
    write_evaluation_page(evaluation, _looks(evaluation), repeat, page, choice.warning)
    tell(f"page: {page}")


def _write_comparison(
    contenders: "Sequence[Contender]",
    comparisons: "Sequence[Comparison]",
    output: Path,
    repeat: str,
    font: Path | None,
) -> None:
    """Write the comparison and its page, and each bundle's own files in a numbered folder."""
    from app.training.evaluation import compare
    from app.training.report.comparison_page import write_comparison_page
    from app.training.report.evaluation_files import write_json

    for number, contender in enumerate(contenders, 1):
        folder = output / str(number)
        folder.mkdir(exist_ok=True)
        _write(contender.evaluation, folder, repeat, font)
    write_json(output / "comparison.json", compare.document(contenders, comparisons))
    looks, page = _looks(contenders[0].evaluation), output / "report.html"
    write_comparison_page(contenders, comparisons, looks, repeat, page)
    tell(f"page: {page}")


def _class_table(evaluation: "Evaluation") -> Table:
    """Return a table with one row for each class, the class with the lowest F1 first.

    The last row has the means, which count every class alike.
    """
    table = Table("class", "photos", "precision", "recall", "F1")
    rows = sorted(evaluation.class_rows(), key=lambda row: float(row[-1]))
    for _, name, photos, *scores in rows[:_MAX_ROWS]:
        table.add_row(name, str(photos), *(f"{score:.3f}" for score in scores))
    if len(rows) > _MAX_ROWS:
        table.caption = f"and {len(rows) - _MAX_ROWS} classes with the same or a higher F1"
    means = evaluation.document()
    table.add_section()
    scores = [means[name] for name in ("precision", "recall", "f1")]
    table.add_row("mean", str(means["photos"]), *(f"{score:.3f}" for score in scores))
    return table
