"""`serve` and `predict`."""

import json
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from app.cli.options import ModelDir
from app.cli.terminal import plain_console, watched
from app.errors import StartupError
from app.model.offline import FileError, FilePrediction
from app.settings import read_settings


def serve(
    model_dir: ModelDir = None,
    host: Annotated[str | None, typer.Option(help="Address; else CLASSIFIER_HOST")] = None,
    port: Annotated[int | None, typer.Option(help="Port; else CLASSIFIER_PORT")] = None,
) -> None:
    """Serve predictions over HTTP."""
    # A container's first process has no default handler, and imports take seconds.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # it asks for the bundle that is read after this
    from app import main

    main.serve(read_settings(model_dir=model_dir, host=host, port=port))


def predict(
    paths: Annotated[list[Path], typer.Argument(metavar="PHOTO|FOLDER...")],
    model_dir: ModelDir = None,
    top_k: Annotated[int, typer.Option(min=1, help="Classes to name for each photo")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON line for each photo")] = False,
    save: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write what it is on copies of the photos")
    ] = None,
    font: Annotated[
        Path | None, typer.Option(help="For labels in other than Latin letters")
    ] = None,
) -> None:
    """Say what is in photos on disk. The exit code is 1 where one cannot be read."""
    from app.cli.album import Album
    from app.host import granted_cores
    from app.images import files
    from app.model import offline
    from app.model.bundle import load_bundle
    from app.model.engine import Engine

    photos = files.find_photos(paths)
    if not photos:
        raise StartupError("there is no photo in it")
    settings = read_settings(model_dir=model_dir)
    album = Album(save, photos, settings.max_pixels, font) if save else None
    bundle = load_bundle(settings.model_dir)
    engine = Engine(bundle, settings.device, granted_cores(), settings.engine)
    outcomes = offline.predict(photos, bundle, engine, top_k, settings.max_pixels)
    table = Table("photo", "what", "score")
    failed = False
    for outcome in watched(outcomes, len(photos)):
        failed |= isinstance(outcome, FileError)
        if album and isinstance(outcome, FilePrediction):
            album.add(outcome)
        if as_json:
            print(json.dumps(outcome.model_dump(), ensure_ascii=False))
        else:
            _add_rows(table, outcome)
    if not as_json:
        plain_console().print(table)
    sys.exit(failed)


def _add_rows(table: Table, outcome: FilePrediction | FileError) -> None:
    if isinstance(outcome, FileError):
        table.add_row(outcome.file, Text(outcome.detail, "red"), "")
    else:
        for rank, row in enumerate(outcome.predictions):
            table.add_row("" if rank else outcome.file, row.label, f"{row.score:.3f}")
    table.add_section()
