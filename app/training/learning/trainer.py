"""The training loop of a run: its phases, their epochs and their steps.

A run that was stopped at any step can be resumed and then gives the same result as a run that was
not stopped. All random choices depend only on the seed, the phase, the epoch and the photo, so a
checkpoint needs only the position in the run and the learner's state.
"""

import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from app.host import granted_cores
from app.model.transform_ops import read_transform_ops
from app.training.data.holdout import Photos
from app.training.data.loader import Loader
from app.training.learning.batches import (
    Batch,
    Batches,
    BatchPlan,
    CachedFeatures,
    Shard,
    StreamedBatches,
)
from app.training.learning.choice import balances, better
from app.training.learning.interruption import Interruption
from app.training.learning.learner import Learner, Score
from app.training.learning.phases import Phase, phases
from app.training.learning.schedule import learning_rate
from app.training.network.freezing import trunk
from app.training.run.checkpoint import Checkpoint
from app.training.run.folder import Run, VisualLog
from app.training.run.progress import Display

# Random views of each photo that CachedFeatures keeps in memory.
_CACHED_VIEWS = 4


@dataclass
class Position:
    """The position in a run, as plain data for the checkpoint.

    Attributes:
        phase: index of the current phase.
        epoch: index of the current epoch in its phase.
        step: index of the next step in its epoch.
        loss_sum: sum of the losses of this epoch's photos so far.
        plain_loss_sum: the same of the cross-entropy alone, see `Step`.
        right: how many of this epoch's photos were classified correctly so far.
        seen: how many photos this process has learned from in this epoch.
        stale: epochs of this phase since its last best epoch.
        updates: steps of the whole run at the time of the checkpoint.
        best: the row of the run's best epoch so far; None before the first epoch ends.
        rows: one row for each epoch that has ended.
    """

    phase: int = 0
    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    plain_loss_sum: float = 0.0
    right: int = 0
    seen: int = 0
    stale: int = 0
    updates: int = 0
    best: dict[str, Any] | None = None
    rows: list[dict[str, Any]] = field(default_factory=list)

    @property
    def mean_loss(self) -> float:
        """The mean loss of this epoch so far."""
        return self.loss_sum / self.seen

    @property
    def accuracy(self) -> float:
        """The share of this epoch's photos that were classified correctly so far, 0 to 1."""
        return self.right / self.seen


class RunContext(NamedTuple):
    """The objects that a run needs besides the network and the photos.

    Attributes:
        run: the run's folder.
        loader: reads photos in other processes.
        display: shows the progress on the terminal.
        shard: the part of each batch that this process learns from.
        interruption: its `check` raises after the user has pressed Ctrl-C.
    """

    run: Run
    loader: Loader
    display: Display
    shard: Shard
    interruption: Interruption


class Trainer:
    """Trains `learner` on `photos`.

    A phase ends after its last epoch, or when the score has not improved for `patience` epochs.

    Attributes:
        position: how far the run has come.
    """

    def __init__(self, learner: Learner, photos: Photos, context: RunContext) -> None:
        self._learner, self._photos, self._context = learner, photos, context
        self._recipe = context.run.recipe
        self._options = self._recipe.options
        self._phases = phases(self._options)
        self._leads = context.shard.rank == 0
        self._balanced = balances(self._options, photos)
        self._last_row = time.monotonic()
        self.position = Position()

    def resume(self) -> None:
        """Continue from the run's last checkpoint if there is one."""
        if last := self._context.run.last():
            self.position = Position(**last.place)
            self._learner.restore(last.groups, self.position.updates)

    def save(self) -> None:
        """Write the checkpoint that `resume` reads."""
        if self._leads:
            self.position.updates = self._learner.updates
            self._context.run.save_last(Checkpoint(self._learner.groups(), asdict(self.position)))

    def train(self) -> None:
        """Train from the current position to the end of the run.

        Raises:
            Interrupted: the user pressed Ctrl-C; the caller can then `save` the finished steps.
        """
        with ExitStack() as stack:
            self._log = VisualLog(self._context.run.folder) if self._leads else None
            if self._log:
                stack.callback(self._log.close)
            while (index := self.position.phase) < len(self._phases):
                self._phase(self._phases[index])
                self.position = Position(
                    phase=index + 1, best=self.position.best, rows=self.position.rows
                )
                self.save()

    def _phase(self, phase: Phase) -> None:
        self._learner.begin(phase.frozen)
        batches = self._batches(phase)
        position, photos = self.position, len(self._photos.train)
        done = position.epoch * photos + position.seen
        with self._context.display.bar(phase.name, phase.epochs * photos, done):
            while position.epoch < phase.epochs and position.stale < self._options.patience:
                self._epoch(phase, batches)

    def _batches(self, phase: Phase) -> Batches:
        spec = read_transform_ops(self._recipe.transform_ops)
        options, context, display = self._options, self._context, self._context.display
        frozen = trunk(self._learner.network, phase.frozen, spec, options.device, granted_cores())
        key = (options.seed, self.position.phase)
        plan = BatchPlan(self._photos, options.batch_size, key, context.shard)
        streamed = StreamedBatches(plan, context.loader, frozen)
        if not phase.cached:
            return streamed
        views = min(_CACHED_VIEWS, phase.epochs) if options.augment else 1
        with display.bar("reading features", views * len(self._photos.train)):
            return CachedFeatures(plan, streamed, views, self._advance)

    def _advance(self, photos: int) -> None:
        self._context.interruption.check()
        self._context.display.advance(photos)

    def _epoch(self, phase: Phase, batches: Batches) -> None:
        position, started = self.position, time.monotonic()
        seen_before = position.seen
        for batch in batches.train(position.epoch, position.step):
            self._step(phase, batch)
            speed = (position.seen - seen_before) / (time.monotonic() - started)
            self._context.display.advance(
                len(batch.labels) * self._context.shard.world,
                f"loss {position.mean_loss:.3f}  top-1 {position.accuracy:.1%}  "
                f"{speed:.0f} photos/s",
                f"{phase.name} {position.epoch + 1}/{phase.epochs}",
            )
            self._context.interruption.check()
        seconds = time.monotonic() - started
        speed = (position.seen - seen_before) * self._context.shard.world / seconds
        self._end_epoch(phase, self._learner.evaluate(batches.validation()), speed)

    def _step(self, phase: Phase, batch: Batch) -> None:
        position = self.position
        step = self._learner.learn(batch, self._rate(phase))
        position.step += 1
        position.loss_sum += step.loss * len(batch.labels)
        position.plain_loss_sum += step.plain_loss * len(batch.labels)
        position.right += step.right
        position.seen += len(batch.labels)

    def _rate(self, phase: Phase) -> float:
        steps_per_epoch = -(-len(self._photos.train) // self._options.batch_size)
        steps = phase.epochs * steps_per_epoch
        ramp = min(round(phase.ramp * steps), steps - 1)
        step = self.position.epoch * steps_per_epoch + self.position.step
        return learning_rate(step, steps, phase.rate, ramp)

    def _end_epoch(self, phase: Phase, score: Score, speed: float) -> None:
        position = self.position
        row = self._row(phase, score, speed)
        position.stale = 0 if row["best"] else position.stale + 1
        position.rows.append(row)
        position.epoch, position.step = position.epoch + 1, 0
        position.loss_sum, position.plain_loss_sum = 0.0, 0.0
        position.right, position.seen = 0, 0
        self._context.display.epoch(row)
        if self._leads:
            if row["best"]:
                position.best = row
                self._context.run.save_best(self._learner.best())
            self._context.run.save_metrics(position.rows)
            if self._log:
                self._log.add(len(position.rows), row)
        else:
            position.best = row if row["best"] else position.best
        self.save()

    def _lap(self) -> float:
        """Return the seconds since the last epoch, or since this process began to train."""
        before, self._last_row = self._last_row, time.monotonic()
        return round(self._last_row - before, 3)

    def _row(self, phase: Phase, score: Score, speed: float) -> dict[str, Any]:
        position = self.position
        row = {
            "phase": phase.name,
            "epoch": position.epoch + 1,
            "epochs": phase.epochs,
            "lr": self._rate(phase),
            "loss": position.mean_loss,
            "plain_loss": position.plain_loss_sum / position.seen,
            "top1": position.accuracy,
            "val_loss": score.loss,
            "val_top1": score.top1,
            "val_top5": score.top5,
            "val_recall": score.recall.mean,
            "val_recall_by_class": score.recall.named(self._photos.classes),
            "photos_per_s": round(speed, 2),
            "seconds": self._lap(),
        }
        return row | {"best": better(row, position.best, balanced=self._balanced)}
