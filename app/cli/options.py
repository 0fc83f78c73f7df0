"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

ModelDir = Annotated[Path | None, typer.Option(help="The bundle; else CLASSIFIER_MODEL_DIR")]
