"""`serve` and `predict`."""

import json
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from app.cli.options import ModelDir, TopK
from app.cli.terminal import plain_console, tell, with_progress
from app.errors import StartupError
from app.model.offline import NO_CLASS, UNFAMILIAR, FileError, FilePrediction
from app.settings import read_settings


def serve(
    model_dir: ModelDir = None,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; by default CLASSIFIER_HOST")
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Port to listen on; by default CLASSIFIER_PORT")
    ] = None,
) -> None:
    """Serve predictions over HTTP.

    All other settings are environment variables that begin with CLASSIFIER_.
    docs/settings.md lists them.
    """
    # The first process of a container has no default handler for SIGTERM, and the imports below
    # take seconds.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    # SIGHUP asks for a reload, and the bundle is read only after this line.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    settings = read_settings(model_dir=model_dir, host=host, port=port)
    _require_model_dir(settings.model_dir)
    from app import main

    main.serve(settings)


def predict(  # noqa: PLR0913, PLR0917  (typer needs a parameter for each option)
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PHOTO|FOLDER...", help="Photos, and folders that hold photos"),
    ],
    model_dir: ModelDir = None,
    top_k: TopK = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON line for each photo instead of a table")
    ] = False,
    save: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Save copies of the photos here, with the label on them"),
    ] = None,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Let the copies of --save show where the network looked"),
    ] = False,
    font: Annotated[
        Path | None,
        typer.Option(help="Font file for the labels of --save, if no font here has their letters"),
    ] = None,
) -> None:
    """Name the classes of photos on disk. The exit code is 1 if a photo cannot be read."""
    from app.cli.album import Album
    from app.host import granted_cores
    from app.images import files, fonts
    from app.model import offline
    from app.model.bundle import load_bundle
    from app.model.engine import Engine
    from app.model.features import FeatureNetwork

    photos = files.find_photos(paths)
    if not photos:
        raise StartupError("no photo was found; name a photo or a folder that holds photos")
    settings = read_settings(model_dir=model_dir)
    _require_model_dir(settings.model_dir)
    if explain and not save:
        raise StartupError("--explain draws on copies of the photos; name their folder with --save")
    bundle = load_bundle(settings.model_dir)
    chosen = (bundle, settings.device, granted_cores(), settings.engine)
    network = FeatureNetwork(*chosen) if explain else None
    album = None
    if save:
        choice = fonts.choose(bundle.labels, font)
        if choice.warning:
            tell(choice.warning)
        album = Album(save, photos, settings.max_pixels, choice.file, network)
    engine = Engine(*chosen)
    if engine.warning:
        print(engine.warning, file=sys.stderr)
    outcomes = offline.predict(photos, bundle, engine, top_k, settings.max_pixels)
    table = Table("photo", "class", "score")
    failed = False
    for outcome in with_progress(outcomes, len(photos)):
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


def _require_model_dir(directory: Path) -> None:
    """Raise StartupError with a remedy if there is no such directory."""
    if not directory.is_dir():
        raise StartupError(
            f"{directory}: no such model directory; run make weights, "
            "or name another one with --model-dir"
        )


def _add_rows(table: Table, outcome: FilePrediction | FileError) -> None:
    if isinstance(outcome, FileError):
        table.add_row(outcome.file, Text(outcome.detail, "red"), "")
    else:
        rows = [(row.label, f"{row.score:.3f}") for row in outcome.predictions]
        rows = rows or [(NO_CLASS, "")]
        if outcome.unfamiliar:
            rows.insert(0, (UNFAMILIAR, f"{outcome.unfamiliarity:.3f}"))
        for rank, (label, score) in enumerate(rows):
            table.add_row("" if rank else outcome.file, label, score)
    table.add_section()
