"""`dataset clean`: acts on a list of suggestions that a person has seen."""

from pathlib import Path
from typing import Annotated

import typer

from app.errors import StartupError, command


def clean(
    data: Annotated[Path, typer.Argument(metavar="DIR", help="The folder that was checked")],
    suggestions: Annotated[
        Path | None,
        typer.Option("--list", metavar="FILE", help="suggestions.csv of `dataset check --output`"),
    ] = None,
    removed: Annotated[
        Path | None,
        typer.Option(
            "--to", metavar="FOLDER", help="Where removed photos go; by default DIR-removed"
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be done")
    ] = False,
    undone: Annotated[
        Path | None,
        typer.Option("--undo", metavar="FOLDER", help="Take back all that went to this folder"),
    ] = None,
) -> None:
    """Remove photos and move photos to other classes, as a list says. Nothing is deleted.

    The list is the table that `dataset check --output` writes. Its column
    `action` may be edited: keep, remove, or move (to the class in `move_to`).
    """
    from app.training.quality import clean
    from app.training.quality.suggestions import read

    if undone:
        print(f"{clean.undo(undone)} photos are back where they were")
        return
    if suggestions is None:
        raise StartupError("name the list of suggestions with --list, or undo one with --undo")
    target = removed or data.absolute().with_name(f"{data.absolute().name}-removed")
    moves, gone = clean.plan(data, read(suggestions), target)
    for move in moves:
        print(f"{move.action} {move.source} -> {move.target}")
    if not dry_run:
        clean.carry_out(moves, target)
    away = sum(move.action == "remove" for move in moves)
    print(
        f"{'would be ' if dry_run else ''}removed: {away}, moved to another class: "
        f"{len(moves) - away}, not there any more: {gone}"
    )
    if moves and not dry_run:
        print(f"undo it: {command('dataset', 'clean', str(data), '--undo', str(target))}")
