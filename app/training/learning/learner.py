"""The network as it learns: one step, one look at the photos held out, and its whole state."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import paddle
from paddle import Tensor, amp, distributed
from paddle.distributed.fleet.utils.hybrid_parallel_util import fused_allreduce_gradients
from paddle.nn import functional as F  # noqa: N812  (the field's name for it)

from app.training.evaluation.accuracy import Scored
from app.training.learning.batches import Batch
from app.training.learning.ema import Average
from app.training.learning.losses import Loss
from app.training.network.freezing import tail
from app.training.network.mobilenetv2 import MobileNetV2
from app.training.options import Recipe
from app.training.run.checkpoint import Groups
from app.training.weights.pdparams import Arrays


class Score(NamedTuple):
    """How the average network does on the photos held out; the loss is plain cross-entropy."""

    loss: float
    top1: float
    top5: float


class Learner:
    """A network, its optimizer and its average. `begin` says which part of it learns."""

    def __init__(self, network: MobileNetV2, recipe: Recipe, loss: Loss, world: int = 1) -> None:
        options = recipe.options
        self.network = network
        self._loss = loss
        self._world = world
        self._statistics = not recipe.pretrained  # of a small data set they are worse than known
        self._average = Average(network, options.ema)
        self._optimizer = paddle.optimizer.AdamW(
            learning_rate=0.0,
            parameters=network.parameters(),
            weight_decay=options.weight_decay,
            apply_decay_param_fun=lambda name: name.endswith("_weights"),
        )
        self._amp = options.amp
        self._scaler = amp.GradScaler(enable=options.amp)
        self.begin(0)

    def begin(self, frozen: int) -> None:
        """Let everything behind the first `frozen` steps of the network learn."""
        self._tail = tail(self.network, frozen)
        self._learned = [p for p in self._tail.parameters() if not p.stop_gradient]
        self._learning = {
            id(value)
            for value in self._tail.state_dict().values()
            if self._statistics or not value.stop_gradient
        }

    def learn(self, batch: Batch, rate: float) -> tuple[float, int]:
        """Take one step; return the mean loss before it and how many photos were right."""
        self._tail.train() if self._statistics else self._tail.eval()
        self._optimizer.set_lr(rate)
        labels = paddle.to_tensor(batch.labels)
        with amp.auto_cast(enable=self._amp):
            logits: Tensor = self._tail(paddle.to_tensor(batch.inputs))  # (N, classes)
            loss = self._loss(logits, labels)
        self._scaler.scale(loss).backward()
        if self._world > 1:
            # Not DataParallel: it cannot go around a parameter twice, as two phases would.
            fused_allreduce_gradients(self._learned, None)  # type: ignore[no-untyped-call]
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._optimizer.clear_grad()
        self._average.update(self._learning)
        return float(loss), int((logits.argmax(axis=1) == labels).sum())

    def evaluate(self, batches: Iterable[Batch]) -> Score:
        """Hold the average network against photos."""
        losses, ranks = [], []
        self._tail.eval()
        with self._average.applied(), paddle.no_grad():
            for inputs, labels in batches:
                logits = self._tail(paddle.to_tensor(inputs))
                own = F.cross_entropy(logits, paddle.to_tensor(labels), reduction="none")
                losses.append(own.numpy())
                ranks.append(Scored(logits.numpy(), labels).rank)
        rank = np.concatenate(ranks)
        loss = np.concatenate(losses).mean()
        return self._agreed(Score(float(loss), float((rank < 1).mean()), float((rank < 5).mean())))

    def _agreed(self, score: Score) -> Score:
        """Return the first process's score: all must stop together, and statistics differ."""
        if self._world == 1:
            return score
        figures = paddle.to_tensor(list(score), "float64")
        distributed.broadcast(figures, src=0)
        loss, top1, top5 = figures.numpy().tolist()
        return Score(loss, top1, top5)

    def best(self) -> Arrays:
        """Return the average network's state."""
        return self._average.values

    @property
    def updates(self) -> int:
        """Steps taken so far."""
        return self._average.updates

    def groups(self) -> Groups:
        """Return all that `restore` needs."""
        optimizer = self._optimizer.state_dict()
        scaler = self._scaler.state_dict()
        return {
            "network": Average.arrays(self.network.state_dict()),
            "average": self._average.values,
            "optimizer": {
                key: value.numpy() for key, value in optimizer.items() if isinstance(value, Tensor)
            },
            "scaler": {key: np.asarray(value) for key, value in scaler.items()},
        }

    def restore(self, groups: Groups, updates: int) -> None:
        """Go on from an earlier run's `groups`."""
        for key, value in self.network.state_dict().items():
            value.set_value(groups["network"][key])
        self._average.restore(dict(groups["average"]), updates)
        self._restore_moments(groups.get("optimizer", {}))
        if scaler := groups.get("scaler"):
            self._scaler.load_state_dict(
                cast("Any", {key: value.item() for key, value in scaler.items()})
            )

    def _restore_moments(self, moments: Mapping[str, npt.NDArray[Any]]) -> None:
        """Give them to the parameters that have learned so far.

        Paddle would wait for the next step, and give up where more than those take part in it.
        """
        self._optimizer.set_state_dict({key: paddle.to_tensor(a) for key, a in moments.items()})
        learned = [p for p in self.network.parameters() if f"{p.name}_moment1_0" in moments]
        program: Any = paddle.static.default_main_program()
        optimizer: Any = self._optimizer
        optimizer._create_accumulators(program.global_block(), learned)  # noqa: SLF001
