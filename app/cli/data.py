"""`dataset check|split` and `evaluate`."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table

from app.cli.terminal import plain_console, watched
from app.settings import read_settings

if TYPE_CHECKING:
    from app.training.evaluation.evaluate import Evaluation

_MAX_ROWS = 50

dataset = typer.Typer(no_args_is_help=True, help="Check and split labelled photos.")


@dataset.command()
def check(
    place: Annotated[
        Path, typer.Argument(metavar="DIR", help="A folder a class, perhaps below train/ and test/")
    ],
    by_pixels: Annotated[
        bool, typer.Option("--pixels", help="The same picture in another file is the same, too")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line, no tables")] = False,
) -> None:
    """Look at every photo: classes, sizes, broken files, duplicates, leaks from train to test.

    DIR may also be a list file with `path class_id` a line, or hold train_list.txt and so on.
    The exit code is 1 where something is broken, leaks or stands under two classes, or a class has
    no photo to learn from.
    """
    from app.host import granted_cores
    from app.training.data import check, check_report
    from app.training.data.dataset import find_parts, read_dataset

    parts = {part: read_dataset(place) for part, place in find_parts(place).items()}
    photos = check.tasks(parts)
    max_pixels = read_settings().max_pixels
    looks = check.inspect(photos, granted_cores(), max_pixels, by_pixels=by_pixels)
    found = check.check(watched(looks, len(photos)), parts)
    if as_json:
        print(json.dumps(check_report.document(found, parts), ensure_ascii=False))
    else:
        check_report.show(found, parts, plain_console())
    sys.exit(not found.sound)


@dataset.command()
def split(
    place: Annotated[Path, typer.Argument(metavar="DIR", help="A folder a class")],
    output: Annotated[Path, typer.Argument(help="Gets train/ and test/; must not be there yet")],
    share: Annotated[float, typer.Option(min=0.01, max=0.99, help="For the test")] = 0.2,
    seed: Annotated[int, typer.Option(help="Another number chooses other photos")] = 0,
    link: Annotated[bool, typer.Option("--link", help="Hard links instead of copies")] = False,
) -> None:
    """Divide photos into train and test, class by class; equal files stay on one side."""
    from app.training.data.split import split

    train, test = split(place, output, share, seed, link=link)
    print(f"{train} photos in {output / 'train'}, {test} in {output / 'test'}")


def evaluate(
    model_dir: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The exported model")],
    place: Annotated[
        Path, typer.Argument(metavar="DIR", help="A folder a class, a list file, or with test/")
    ],
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write tables and figures here")
    ] = None,
    broken: Annotated[
        Literal["skip", "fail"], typer.Option(help="What to do with what cannot be read")
    ] = "skip",
) -> None:
    """Hold a bundle against labelled photos, through the code that serves.

    A folder bears a class's name or number. The last line is a JSON document.
    """
    from app.host import granted_cores
    from app.model.bundle import load_bundle
    from app.model.engine import Engine
    from app.model.offline import classify
    from app.training.data.dataset import held_out, read_dataset
    from app.training.evaluation.evaluate import evaluate

    if output:  # what is missing, matplotlib or a place to write, is said before the work
        from app.training.evaluation.report import write

        output.mkdir(parents=True, exist_ok=True)
    settings = read_settings(model_dir=model_dir)
    bundle = load_bundle(settings.model_dir)
    engine = Engine(bundle, settings.device, granted_cores(), settings.engine)
    labels = bundle.labels or [str(class_id) for class_id in range(engine.classes)]
    samples = read_dataset(held_out(place), labels).samples
    answers = classify([s.path for s in samples], bundle, engine, settings.max_pixels)
    watched_answers = watched(answers, len(samples))
    evaluation = evaluate(bundle, samples, watched_answers, skip_broken=broken == "skip")
    console = plain_console()
    console.print(_class_table(evaluation))
    for error in evaluation.skipped:
        console.print(f"skipped {error.file}: {error.detail}", soft_wrap=True)
    if output:
        write(evaluation, output, settings.max_pixels)
    print(json.dumps(evaluation.document(), ensure_ascii=False))


def _class_table(evaluation: "Evaluation") -> Table:
    """Return a row a class, the worst first."""
    table = Table("class", "photos", "precision", "recall", "F1")
    rows = sorted(evaluation.class_rows(), key=lambda row: float(row[-1]))
    for _, name, photos, *figures in rows[:_MAX_ROWS]:
        table.add_row(name, str(photos), *(f"{figure:.3f}" for figure in figures))
    if len(rows) > _MAX_ROWS:
        table.caption = f"and {len(rows) - _MAX_ROWS} classes that are no worse"
    return table
