"""`train --resume RUN --epochs N`: more epochs for a run, also for one that has ended."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from app.errors import StartupError
from app.training.learning.phases import REGRESSION, Phase, phases
from app.training.learning.trainer import Position
from app.training.network.freezing import SEGMENTS
from app.training.options import Recipe


def lengthened(
    recipe: Recipe, rows: Sequence[Mapping[str, Any]], epochs: int, photos: int
) -> Recipe:
    """Return the recipe with `epochs` epochs in its last phase.

    Args:
        recipe: that of the run.
        rows: the epochs that the run has had.
        epochs: the number of epochs of the last phase, those that it has had included.
        photos: the number of photos to learn from.

    Raises:
        StartupError: only the classifier of the run learns, the run has had so many epochs, or it
            has the option --refit.
    """
    if recipe.options.refit:
        raise StartupError("a run with --refit cannot be lengthened: train again with --epochs")
    changes: dict[str, Any] = {"epochs": epochs, "minutes": None}
    tuned = [row for row in rows if row["phase"] != REGRESSION]
    if recipe.options.minutes and tuned:
        changes["freeze"] = str(tuned[-1]["frozen"])
    options = recipe.options.model_copy(update=changes)
    last = phases(options, photos, kept=recipe.keeps_classifier)[-1]
    if last.frozen == SEGMENTS:
        raise StartupError("only the classifier learns in this run: --epochs cannot lengthen it")
    done = _done(rows, last)
    if epochs <= done:
        raise StartupError(f"the run has had {done} epochs of {last.name}: --epochs must be more")
    return recipe.model_copy(update={"options": options})


def reopened(position: Position, plan: Sequence[Phase]) -> Position:
    """Return the position to go on from if the last phase of the plan has become longer."""
    if position.phase < len(plan) - 1:
        return position
    if position.phase == len(plan) - 1:
        return replace(position, stale=0)
    return replace(position, phase=len(plan) - 1, epoch=_done(position.rows, plan[-1]))


def _done(rows: Sequence[Mapping[str, Any]], phase: Phase) -> int:
    return sum(row["phase"] == phase.name for row in rows)
