"""A run's folder: its recipe, photos, checkpoints, figures and logs."""

import importlib
import json
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, cast

import paddle

from app.errors import StartupError
from app.training.data.holdout import Photos, read_lists, write_lists
from app.training.network.mobilenetv2 import MobileNetV2
from app.training.options import SETTINGS, Recipe, read_recipe
from app.training.run.checkpoint import Checkpoint, load_checkpoint
from app.training.weights.pdparams import Arrays, NotParameters, read_pdparams
from app.training.weights.pretrained import build_network

RUNS = Path("runs")

Row = dict[str, Any]


class Run:
    """`settings.json`, `train_list.txt`, `val_list.txt`, `last.npz`, `best.pdparams`, ..."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._last = folder / "last.npz"
        self._best = folder / "best.pdparams"
        self._metrics = folder / "metrics.jsonl"

    def make(self) -> None:
        """Make the folder, which must not be there yet or be empty.

        Raises:
            StartupError: there is something in it.
        """
        if self.folder.exists() and any(self.folder.iterdir()):
            raise StartupError(f"{self.folder} is not empty; nothing is overwritten")
        self.folder.mkdir(parents=True, exist_ok=True)

    def create(self, recipe: Recipe, photos: Photos) -> None:
        """Make the folder and write down what the run is.

        Raises:
            StartupError: there is something in it.
        """
        self.make()
        write_lists(photos, self.folder)
        text = recipe.model_dump_json(indent=1)
        (self.folder / SETTINGS).write_text(text, encoding="utf-8")

    @property
    def recipe(self) -> Recipe:
        """What was chosen.

        Raises:
            StartupError: this is no run's folder.
        """
        if recipe := read_recipe(self.folder):
            return recipe
        raise StartupError(f"{self.folder} is not a run's folder: no {SETTINGS} that can be read")

    @property
    def photos(self) -> Photos:
        """The photos of the run, in their order."""
        return read_lists(self.folder, self.recipe.classes)

    def save_last(self, checkpoint: Checkpoint) -> None:
        """Write what `--resume` goes on from."""
        checkpoint.save(self._last)

    def last(self) -> Checkpoint | None:
        """Read it back; None where the run was stopped before the first."""
        return load_checkpoint(self._last) if self._last.is_file() else None

    def save_best(self, state: Arrays) -> None:
        """Write the weights that are exported, in Paddle's own form."""
        part = self._best.with_suffix(".part")
        paddle.save(cast("Any", state), str(part))
        part.replace(self._best)

    def best_network(self) -> MobileNetV2:
        """Return the best network so far.

        Raises:
            StartupError: there is none yet, or the file is damaged.
        """
        network = build_network(self.recipe)
        try:
            arrays = read_pdparams(self._best)
            for key, value in network.state_dict().items():
                value.set_value(arrays[key])
        except (OSError, NotParameters, KeyError, ValueError) as error:
            raise StartupError(f"{self._best} is missing or damaged") from error
        network.eval()
        return network

    def save_metrics(self, rows: Sequence[Row]) -> None:
        """Write a JSON line an epoch."""
        lines = (json.dumps(row) + "\n" for row in rows)
        self._metrics.write_text("".join(lines), encoding="utf-8")


def free_folder(data: Path) -> Path:
    """Make the first of runs/NAME-1, runs/NAME-2, ... that is not there yet; return it."""
    name = data.resolve().stem or "run"
    for number in count(1):
        folder = RUNS / f"{name}-{number}"
        with suppress(FileExistsError):  # another run may begin at this moment
            folder.mkdir(parents=True)
            break
    return folder


class VisualLog:
    """VisualDL's log of a run, where VisualDL is installed."""

    def __init__(self, folder: Path) -> None:
        try:
            writer = importlib.import_module("visualdl").LogWriter
        except ImportError:
            self._writer = None
        else:
            self._writer = writer(logdir=str(folder / "visualdl"))

    def add(self, step: int, row: Row) -> None:
        """Add an epoch's figures."""
        if self._writer:
            for name in ("lr", "loss", "top1", "val_loss", "val_top1", "val_top5"):
                self._writer.add_scalar(name, float(row[name]), step)

    def close(self) -> None:
        """Write what is left."""
        if self._writer:
            self._writer.close()
