"""What several commands share: an option, and examples at the end of `--help`."""

from pathlib import Path
from typing import Annotated

import typer

from app.errors import command

ModelDir = Annotated[
    Path | None,
    typer.Option(help="Directory of the model bundle; by default CLASSIFIER_MODEL_DIR"),
]


def examples(*arguments: str) -> str:
    """Return the end of a command's `--help`: a line to copy for each of `arguments`."""
    heading = "Example:" if len(arguments) == 1 else "Examples:"
    # Typer joins the lines of a paragraph, so each command is a paragraph.
    return "\n\n".join([heading, *(command(*words.split()) for words in arguments)])
