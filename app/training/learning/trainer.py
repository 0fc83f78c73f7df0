"""The whole of a run: phases, epochs, steps; stopped at any step, it goes on as if it had not been.

Each lot that is drawn depends on the seed, the phase, the epoch and the photo alone, so the place
in the run and the network's state are all there is to keep.
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
from app.training.learning.interruption import Interruption
from app.training.learning.learner import Learner, Score
from app.training.learning.phases import Phase, phases
from app.training.learning.schedule import learning_rate
from app.training.network.freezing import trunk
from app.training.run.checkpoint import Checkpoint
from app.training.run.folder import Run, VisualLog
from app.training.run.progress import Display

_VIEWS = 4  # of each photo that a cache keeps


@dataclass
class Position:
    """Where in the run we are; plain data.

    Attributes:
        phase, epoch, step: what comes next, each from 0; epoch and step count within theirs.
        loss_sum, right, seen: of this epoch so far.
        stale: epochs of this phase since the best.
        best: the best epoch's row.
        rows: a row an epoch done.
    """

    phase: int = 0
    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    right: int = 0
    seen: int = 0
    stale: int = 0
    updates: int = 0
    best: dict[str, Any] | None = None
    rows: list[dict[str, Any]] = field(default_factory=list)


class RunContext(NamedTuple):
    """All that works for a run beside the network."""

    run: Run
    loader: Loader
    display: Display
    share: Shard
    interruption: Interruption


class Trainer:
    """Trains `learner` on `photos` until the phases are over or nothing gets better."""

    def __init__(self, learner: Learner, photos: Photos, team: RunContext) -> None:
        self._learner, self._photos, self._team = learner, photos, team
        self._recipe = team.run.recipe
        self._options = self._recipe.options
        self._phases = phases(self._options)
        self._leads = team.share.rank == 0
        self.place = Position()

    def resume(self) -> None:
        """Go on from the run's last checkpoint, where there is one."""
        if last := self._team.run.last():
            self.place = Position(**last.place)
            self._learner.restore(last.groups, self.place.updates)

    def save(self) -> None:
        """Write the checkpoint that `resume` reads."""
        if self._leads:
            self.place.updates = self._learner.updates
            self._team.run.save_last(Checkpoint(self._learner.groups(), asdict(self.place)))

    def train(self) -> None:
        """Do what is left of the run.

        Raises:
            Interrupted: somebody asked for it; `save` keeps all that was done.
        """
        with ExitStack() as stack:
            self._log = VisualLog(self._team.run.folder) if self._leads else None
            if self._log:
                stack.callback(self._log.close)
            while self.place.phase < len(self._phases):
                self._phase(self._phases[self.place.phase])
                self.place = Position(
                    phase=self.place.phase + 1, best=self.place.best, rows=self.place.rows
                )
                self.save()

    def _phase(self, phase: Phase) -> None:
        self._learner.begin(phase.frozen)
        source = self._source(phase)
        photos = len(self._photos.train)
        done = self.place.epoch * photos + self.place.seen
        with self._team.display.bar(phase.name, phase.epochs * photos, done):
            while self.place.epoch < phase.epochs and self.place.stale < self._options.patience:
                self._epoch(phase, source)

    def _source(self, phase: Phase) -> Batches:
        spec = read_transform_ops(self._recipe.transform_ops)
        options, team, display = self._options, self._team, self._team.display
        ready = trunk(self._learner.network, phase.frozen, spec, options.device, granted_cores())
        key = (options.seed, self.place.phase)
        plan = BatchPlan(self._photos, options.batch_size, key, team.share)
        stream = StreamedBatches(plan, team.loader, ready)
        if not phase.cached:
            return stream
        views = min(_VIEWS, phase.epochs) if options.augment else 1
        with display.bar("reading features", views * len(self._photos.train)):
            return CachedFeatures(plan, stream, views, self._seen)

    def _seen(self, photos: int) -> None:
        self._team.interruption.check()
        self._team.display.advance(photos)

    def _epoch(self, phase: Phase, source: Batches) -> None:
        place, started = self.place, time.monotonic()
        seen_before = place.seen
        for batch in source.train(place.epoch, place.step):
            self._step(phase, batch)
            speed = (place.seen - seen_before) / (time.monotonic() - started)
            self._team.display.advance(
                len(batch.labels) * self._team.share.world,
                f"loss {place.loss_sum / place.seen:.3f}  top-1 {place.right / place.seen:.1%}  "
                f"{speed:.0f} photos/s",
                f"{phase.name} {place.epoch + 1}/{phase.epochs}",
            )
            self._team.interruption.check()
        seconds = time.monotonic() - started
        speed = (place.seen - seen_before) * self._team.share.world / seconds
        self._end_epoch(phase, self._learner.evaluate(source.validation()), speed)

    def _step(self, phase: Phase, batch: Batch) -> None:
        place = self.place
        loss, right = self._learner.learn(batch, self._rate(phase))
        place.step += 1
        place.loss_sum += loss * len(batch.labels)
        place.right += right
        place.seen += len(batch.labels)

    def _rate(self, phase: Phase) -> float:
        an_epoch = -(-len(self._photos.train) // self._options.batch_size)
        steps = phase.epochs * an_epoch
        ramp = min(round(phase.ramp * steps), steps - 1)
        return learning_rate(self.place.epoch * an_epoch + self.place.step, steps, phase.rate, ramp)

    def _end_epoch(self, phase: Phase, score: Score, speed: float) -> None:
        place = self.place
        row = self._row(phase, score, speed)
        place.stale = 0 if row["best"] else place.stale + 1
        place.rows.append(row)
        place.epoch, place.step = place.epoch + 1, 0
        place.loss_sum, place.right, place.seen = 0.0, 0, 0
        self._team.display.epoch(row)
        if self._leads:
            if row["best"]:
                place.best = row
                self._team.run.save_best(self._learner.best())
            self._team.run.save_metrics(place.rows)
            if self._log:
                self._log.add(len(place.rows), row)
        else:
            place.best = row if row["best"] else place.best
        self.save()

    def _row(self, phase: Phase, score: Score, speed: float) -> dict[str, Any]:
        place = self.place
        best = place.best
        better = best is None or (score.top1, -score.loss) > (best["val_top1"], -best["val_loss"])
        return {
            "phase": phase.name,
            "epoch": place.epoch + 1,
            "epochs": phase.epochs,
            "lr": self._rate(phase),
            "loss": place.loss_sum / place.seen,
            "top1": place.right / place.seen,
            "val_loss": score.loss,
            "val_top1": score.top1,
            "val_top5": score.top5,
            "photos_per_s": round(speed, 2),
            "best": better,
        }
