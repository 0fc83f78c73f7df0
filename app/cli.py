"""The command line: `python -m app --help`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from app.errors import BundleError, StartupError
from app.settings import read_settings

app = typer.Typer(add_completion=False, no_args_is_help=True, help="What is in this photo?")

ModelDir = Annotated[Path | None, typer.Option(help="The bundle; else CLASSIFIER_MODEL_DIR")]


@app.callback()
def _program() -> None:
    """What is in this photo? MobileNetV2 on PaddlePaddle."""


@app.command()
def serve(
    model_dir: ModelDir = None,
    host: Annotated[str | None, typer.Option(help="Address; else CLASSIFIER_HOST")] = None,
    port: Annotated[int | None, typer.Option(help="Port; else CLASSIFIER_PORT")] = None,
) -> None:
    """Serve predictions over HTTP."""
    from app import main

    main.serve(read_settings(model_dir=model_dir, host=host, port=port))


def main() -> None:
    """Run the command line; a known failure is one line and exit code 1."""
    try:
        app()
    except (BundleError, StartupError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
