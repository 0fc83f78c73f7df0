"""`dataset check|clean|split`."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from app.cli.clean import clean
from app.cli.options import ModelDir, examples
from app.cli.terminal import Timed, plain_console, with_progress
from app.errors import command
from app.settings import read_settings

dataset = typer.Typer(
    no_args_is_help=True,
    help="Check, clean and split labelled photos.",
    epilog=examples("dataset check photos --output checked", "dataset split photos divided"),
)


dataset.command(
    epilog=examples(
        "dataset clean photos --list suggestions.csv",
        "dataset clean photos --undo photos-removed",
    )
)(clean)


@dataset.command(
    cls=Timed,
    epilog=examples("dataset check photos --output checked", "dataset check photos --quick --json"),
)
def check(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="Folder of class folders, or of train/ and test/ with class folders"
        ),
    ],
    by_pixels: Annotated[
        bool,
        typer.Option(
            "--pixels", help="Compare pixels, so that a copy in another format counts too"
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON line instead of tables")
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Leave out what needs a model: crops and wrong labels")
    ] = False,
    model_dir: ModelDir = None,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Write suggestions for `dataset clean`, and contact sheets"
        ),
    ] = None,
) -> None:
    """Read every photo; show classes, sizes, broken files, copies, leaks, likely wrong labels.

    Copies are also found if they were encoded again, resized, mirrored or
    slightly cropped. Crops and wrong labels are found with the model bundle.

    DIR may also be a list file with a line `path class_id` for each photo,
    or a folder that holds train_list.txt, val_list.txt or test_list.txt.

    The exit code is 1 if a photo is broken, lies in train and test, or lies
    under two classes, or if a class has no photo to learn from.
    """
    from app.cli.closer_look import closer_look
    from app.host import granted_cores
    from app.training.copies import inspection
    from app.training.data.dataset import find_parts, list_photos, read_dataset
    from app.training.options import DEFAULT_SIZE
    from app.training.quality import check_report, suggestions
    from app.training.quality.check import check

    parts = {part: read_dataset(path) for part, path in find_parts(data).items()}
    photos = list_photos(parts)
    max_pixels = read_settings().max_pixels
    looks = inspection.inspect(
        photos, granted_cores(), max_pixels, by_pixels=by_pixels, thumbnails=not quick
    )
    outcomes = list(with_progress(looks, len(photos), "checking photos"))
    settings = read_settings(model_dir=model_dir)
    closer = None
    if not quick:
        readable, _ = inspection.divide(outcomes)
        closer = closer_look(readable, settings, required=model_dir is not None)
    found = check(outcomes, parts, closer)
    if output:
        suggestions.write(found, data, output, max_pixels)
    if as_json:
        print(json.dumps(check_report.document(found, parts, DEFAULT_SIZE), ensure_ascii=False))
    else:
        check_report.show(found, parts, DEFAULT_SIZE, plain_console())
    if output:
        file = output / suggestions.FILE
        print(
            f"look at {file} and the contact sheets beside it, edit it, and then: "
            f"{command('dataset', 'clean', str(data), '--list', str(file))}",
            file=sys.stderr,
        )
    sys.exit(not found.sound)


@dataset.command(
    epilog=examples("dataset split photos divided", "dataset split photos divided --share 0.1")
)
def split(
    data: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder with one folder for each class")
    ],
    output: Annotated[
        Path, typer.Argument(help="New folder for train/ and test/; it must not exist yet")
    ],
    share: Annotated[
        float, typer.Option(min=0.01, max=0.99, help="Share of each class's photos for test/")
    ] = 0.2,
    seed: Annotated[
        int, typer.Option(help="Seed of the choice; another number chooses other photos")
    ] = 0,
    link: Annotated[
        bool, typer.Option("--link", help="Make hard links instead of copies, to save disk space")
    ] = False,
) -> None:
    """Divide photos into train and test, class by class.

    Identical files stay on one side, and so do photos that were encoded
    again, resized or mirrored.
    """
    from app.host import granted_cores
    from app.training.copies.inspection import BrokenPhoto, CheckedPhoto, inspect
    from app.training.data.dataset import Dataset, list_photos
    from app.training.data.split import split

    def look(photos: Dataset) -> Iterable[CheckedPhoto | BrokenPhoto]:
        listed = list_photos({"": photos})
        outcomes = inspect(listed, granted_cores(), read_settings().max_pixels)
        return with_progress(outcomes, len(listed))

    train, test = split(data, output, share, seed, look, link=link)
    print(f"{train} photos in {output / 'train'}, {test} in {output / 'test'}")
