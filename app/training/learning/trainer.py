"""The training loop of a run: its phases, their epochs and their steps.

A run that was stopped at any step can be resumed and then gives the same result as a run that was
not stopped. All random choices depend only on the seed, the phase, the epoch and the photo, so a
checkpoint needs only the position in the run and the learner's state.
"""

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import Any

from app.training.data.holdout import Photos
from app.training.learning.batches import Batch, Batches
from app.training.learning.budget import Cost, fit_into
from app.training.learning.choice import balances, best_size, better, improved
from app.training.learning.inputs import Inputs, RunContext
from app.training.learning.learner import Learner, Score
from app.training.learning.phases import DEEP, FINE_TUNING, REGRESSION, SHALLOW, Phase, phases
from app.training.learning.regression import fit_regression
from app.training.learning.schedule import learning_rate
from app.training.network.freezing import SEGMENTS
from app.training.run.checkpoint import Checkpoint
from app.training.run.folder import VisualLog


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
        frozen: how many segments `--minutes` keeps frozen; None before that is known.
        epochs: the number of epochs that `--minutes` allows; None before that is known.
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
    frozen: int | None = None
    epochs: int | None = None
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
        self._phases = phases(self._options, len(photos.train), kept=self._recipe.keeps_classifier)
        self._inputs = Inputs(learner.network, photos, context)
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
        if phase.name == REGRESSION:
            if not self.position.epoch:
                self._regress(phase)
            return
        phase = self._within_minutes(phase)
        if not phase.epochs:
            self._context.display.say("--minutes leaves no time for fine-tuning")
            return
        self._learner.begin(phase.frozen)
        batches = self._inputs.batches(phase, self.position.phase)
        position, photos = self.position, len(self._photos.train)
        if phase.name == FINE_TUNING and position.epoch == position.step == 0:
            self._learner.soften(batches.validation(self._options.size))
        done = position.epoch * photos + position.seen
        with self._context.display.bar(phase.name, phase.epochs * photos, done):
            while position.epoch < phase.epochs and position.stale < self._options.patience:
                self._epoch(phase, batches)

    def _regress(self, phase: Phase) -> None:
        """Fit the first classifier to the network's features at each size of its input."""
        started = time.monotonic()
        self._learner.begin(SEGMENTS)
        features, labels = self._inputs.features(phase)
        count = len(labels)
        found = fit_regression(features, labels, self._options.seed, balanced=self._balanced)
        self._learner.set_classifier(found.weights, found.bias)
        position = self.position
        position.seen = count
        position.loss_sum = position.plain_loss_sum = found.loss * count
        position.right = round(found.top1 * count)
        score = self._learner.evaluate(self._inputs.streamed(phase).validation(found.size))
        speed = count * len(features) / (time.monotonic() - started)
        self._end_epoch(phase, {found.size: score}, speed)

    def _within_minutes(self, phase: Phase) -> Phase:
        """Return the phase as deep and as long as the option `--minutes` allows."""
        position, minutes = self.position, self._options.minutes
        if minutes is None or phase.name != FINE_TUNING:
            return phase
        if position.frozen is None or position.epochs is None:
            auto = self._options.freeze == "auto" and phase.frozen == DEEP
            depths = (DEEP, SHALLOW) if auto else (phase.frozen,)
            costs = {frozen: self._cost(phase._replace(frozen=frozen)) for frozen in depths}
            left = 60 * minutes - (time.monotonic() - self._context.started)
            photos = len(self._photos.all)
            position.frozen, position.epochs = fit_into(left, costs, phase.epochs, photos)
        return phase._replace(frozen=position.frozen, epochs=position.epochs)

    def _cost(self, phase: Phase) -> Cost:
        """Measure what a photo costs if these segments are frozen."""
        self._learner.begin(phase.frozen)
        batch, viewed = self._inputs.rehearse(phase)
        self._learner.rehearse(batch)
        started = time.monotonic()
        self._learner.rehearse(batch)
        stepped = time.monotonic() - started
        return Cost(viewed / len(batch.labels), stepped / len(batch.labels))

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
        scores = {
            size: self._learner.evaluate(batches.validation(size)) for size in self._inputs.sizes
        }
        self._end_epoch(phase, scores, speed)

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

    def _end_epoch(self, phase: Phase, scores: Mapping[int, Score], speed: float) -> None:
        position = self.position
        size = best_size({size: (score.loss, score.error) for size, score in scores.items()})
        row = self._row(phase, size, scores[size], speed)
        up = improved(row, position.rows, balanced=self._balanced)
        position.stale = 0 if up else position.stale + 1
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

    def _row(self, phase: Phase, size: int, score: Score, speed: float) -> dict[str, Any]:
        position = self.position
        row = {
            "phase": phase.name,
            "epoch": position.epoch + 1,
            "epochs": phase.epochs,
            "frozen": phase.frozen,
            "size": size,
            "lr": self._rate(phase),
            "loss": position.mean_loss,
            "plain_loss": position.plain_loss_sum / position.seen,
            "top1": position.accuracy,
            "val_loss": score.loss,
            "val_error": score.error,
            "val_plain_loss": score.plain_loss,
            "val_top1": score.top1,
            "val_top5": score.top5,
            "val_recall": score.recall.mean,
            "val_recall_by_class": score.recall.named(self._photos.classes),
            "photos_per_s": round(speed, 2),
            "seconds": self._lap(),
        }
        best = better(row, position.rows, balanced=self._balanced)
        return row | {"best": self._recipe.refit or best}
