"""`classify`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from app.cli.options import ModelDir, TopK
from app.cli.terminal import plain_console
from app.settings import read_settings


def classify(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="Folder of photos, list file with a path on each line, or URL such as s3://photos",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            metavar="OUT",
            help="Table to write: OUT.jsonl, OUT.csv, OUT.parquet, or a folder of Parquet files",
        ),
    ],
    model_dir: ModelDir = None,
    top_k: TopK = None,
    embeddings: Annotated[
        bool, typer.Option("--embeddings", help="Add the vector before the classifier")
    ] = False,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Use a Ray cluster: its address, auto for the one that this machine is in, or "
            "local to start one here",
        ),
    ] = None,
) -> None:
    """Classify many photos on all cores or on a cluster, and write a row for each to a table.

    A photo that cannot be read has a row with the reason. The same command
    again goes on where the last one was stopped, and adds photos that are new.
    """
    from app.bulk.records import Wishes
    from app.bulk.run import Options
    from app.bulk.run import classify as classify_all

    settings = read_settings(model_dir=model_dir)
    options = Options(source, output, Wishes(top_k, embeddings), ray)
    try:
        classify_all(settings, options, plain_console())
    except KeyboardInterrupt:
        sys.exit(130)
