"""A run's folder: its recipe, lists of photos, checkpoints, metrics and logs."""

import importlib
import json
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, cast

import paddle

from app.disk import replacing, write_text
from app.errors import DiskFull, StartupError
from app.training.data.holdout import Photos, read_lists, write_lists
from app.training.network.mobilenetv2 import MobileNetV2
from app.training.options import SETTINGS, Recipe, read_recipe
from app.training.run.checkpoint import Checkpoint, load_checkpoint
from app.training.weights.pdparams import Arrays, NotParameters, read_pdparams
from app.training.weights.pretrained import build_network

RUNS = Path("runs")

Row = dict[str, Any]


class Run:
    """The folder of a run.

    It holds `settings.json`, `train_list.txt`, `val_list.txt`, `last.npz`, `best.pdparams` and
    more.

    Args:
        folder: the folder.
        recipe: that of a new run; by default it is read from the folder.
    """

    def __init__(self, folder: Path, recipe: Recipe | None = None) -> None:
        self.folder = folder
        self._recipe = recipe
        self._last = folder / "last.npz"
        self._best = folder / "best.pdparams"
        self._metrics = folder / "metrics.jsonl"
        self._command = folder / "command.txt"

    def make(self) -> None:
        """Make the folder; a folder that exists already must be empty.

        Raises:
            StartupError: the folder is not empty.
        """
        if self.folder.exists() and any(self.folder.iterdir()):
            raise StartupError(
                f"{self.folder} is not empty; nothing is overwritten: name another folder"
            )
        self.folder.mkdir(parents=True, exist_ok=True)

    def create(self, recipe: Recipe, photos: Photos) -> None:
        """Make the folder and write the recipe and the lists of photos into it.

        Raises:
            StartupError: the folder is not empty, or the path of a photo is not one line of UTF-8.
            DiskFull: the files do not fit on the disk; the folder is gone again.
        """
        self.make()
        try:
            write_lists(photos, self.folder)
            self.save_recipe(recipe)
        except DiskFull:
            for file in self.folder.iterdir():
                file.unlink()
            self.folder.rmdir()
            raise

    def save_recipe(self, recipe: Recipe) -> None:
        """Write the recipe."""
        text = recipe.model_dump_json(indent=1)
        write_text(self.folder / SETTINGS, text)

    @property
    def command(self) -> str:
        """The command that repeats the run; empty if nobody has recorded it."""
        return self._command.read_text("utf-8").strip() if self._command.is_file() else ""

    def save_command(self, command: str) -> None:
        """Record the command that repeats the run."""
        text = f"{command}\n".encode(errors="backslashreplace").decode()
        write_text(self._command, text)

    @property
    def exists(self) -> bool:
        """Whether the folder has been made by `create`."""
        return (self.folder / SETTINGS).is_file()

    @property
    def refit(self) -> "Run":
        """The run that learns once more from all photos, if the option --refit asked for it."""
        return Run(self.folder / "refit")

    @property
    def recipe(self) -> Recipe:
        """The recipe of the run.

        Raises:
            StartupError: the folder has no readable recipe.
        """
        if recipe := self._recipe or read_recipe(self.folder):
            return recipe
        raise StartupError(f"{self.folder} is not a run's folder: it has no readable {SETTINGS}")

    @property
    def photos(self) -> Photos:
        """The photos of the run, in the order of its lists."""
        return read_lists(self.folder, self.recipe.classes)

    def save_last(self, checkpoint: Checkpoint) -> None:
        """Write the checkpoint from which `--resume` continues."""
        checkpoint.save(self._last)

    def last(self) -> Checkpoint | None:
        """Return the last checkpoint; None if the run was stopped before the first one."""
        return load_checkpoint(self._last) if self._last.is_file() else None

    def save_best(self, state: Arrays) -> None:
        """Write the weights for the export, in Paddle's own format."""
        size = sum(array.nbytes for array in state.values())
        with replacing(self._best, size) as part:
            paddle.save(cast("Any", state), str(part))

    def best_network(self) -> MobileNetV2:
        """Return the network with the best weights so far.

        Raises:
            StartupError: the file of the best weights is missing or damaged.
        """
        network = build_network(self.recipe)
        try:
            arrays = read_pdparams(self._best)
            for key, value in network.state_dict().items():
                value.set_value(arrays[key])
        except (OSError, NotParameters, KeyError, ValueError) as error:
            raise StartupError(
                f"{self._best} is missing or damaged: resume the run or train again"
            ) from error
        network.eval()
        return network

    @property
    def best_size(self) -> int:
        """The size of the network's input with which the best epoch was the best, in pixels."""
        try:
            lines = self._metrics.read_text("utf-8").splitlines()
        except OSError:
            lines = []
        best = [row for row in map(json.loads, lines) if row["best"]]
        # The rows of older runs have no size.
        return int(best[-1].get("size", 0) if best else 0) or self.recipe.options.size

    def save_metrics(self, rows: Sequence[Row]) -> None:
        """Write one JSON line for each epoch."""
        lines = (json.dumps(row) + "\n" for row in rows)
        write_text(self._metrics, "".join(lines))


def free_folder(data: Path) -> Path:
    """Make and return the first folder of runs/NAME-1, runs/NAME-2, ... that does not exist yet."""
    name = data.resolve().stem or "run"
    for number in count(1):
        folder = RUNS / f"{name}-{number}"
        # Another run may make the same folder at this moment.
        with suppress(FileExistsError):
            folder.mkdir(parents=True)
            break
    return folder


class VisualLog:
    """Logs a run for VisualDL, if VisualDL is installed."""

    def __init__(self, folder: Path) -> None:
        try:
            writer = importlib.import_module("visualdl").LogWriter
        except ImportError:
            self._writer = None
        else:
            self._writer = writer(logdir=str(folder / "visualdl"))

    def add(self, step: int, row: Row) -> None:
        """Log the metrics of an epoch; `step` is its number in the run."""
        if self._writer:
            for name in ("lr", "loss", "top1", "val_loss", "val_top1", "val_top5", "val_recall"):
                self._writer.add_scalar(name, float(row[name]), step)

    def close(self) -> None:
        """Write the metrics that VisualDL still buffers, and close the log."""
        if self._writer:
            self._writer.close()
