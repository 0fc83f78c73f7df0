"""The network as it learns: a training step, an evaluation on held-out photos, and its state."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import paddle
from paddle import Tensor, amp, distributed
from paddle.distributed.fleet.utils.hybrid_parallel_util import fused_allreduce_gradients
from paddle.nn import functional as F  # noqa: N812  (this short name is common)

from app.training.evaluation.accuracy import Scored
from app.training.evaluation.recall import Recall, measure_recall
from app.training.evaluation.temperature import fit_temperature
from app.training.learning.batches import Batch
from app.training.learning.ema import ExponentialMovingAverage
from app.training.learning.losses import Loss
from app.training.network.freezing import quick_tail, tail
from app.training.network.mobilenetv2 import MobileNetV2
from app.training.options import Recipe
from app.training.run.checkpoint import Groups
from app.training.weights.pdparams import Arrays

_TEMPERATURES = np.geomspace(0.25, 16, 61)


class Score(NamedTuple):
    """How well the averaged network classifies the held-out photos.

    Attributes:
        loss: the mean cross-entropy, without label smoothing and class weights, at the temperature
            that makes it lowest. The export divides the logits by this temperature, too.
        error: the standard error of the loss.
        plain_loss: the mean cross-entropy without that temperature.
        top1, top5: the accuracy, 0 to 1.
        recall: the recall of each class.
    """

    loss: float
    error: float
    plain_loss: float
    top1: float
    top5: float
    recall: Recall


class Step(NamedTuple):
    """What a training step tells about the photos of its batch, before it changes the weights.

    Attributes:
        loss: the mean training loss.
        plain_loss: the mean cross-entropy, without label smoothing and class weights, which can be
            compared with `Score.plain_loss`.
        right: how many photos were classified correctly.
    """

    loss: float
    plain_loss: float
    right: int


class Learner:
    """A network, its optimizer and its moving average. `begin` chooses the part that learns.

    Args:
        network: changed in place.
        recipe: the options and whether the network starts from pretrained weights.
        loss: the training loss.
        world: the number of processes that train together.
    """

    def __init__(self, network: MobileNetV2, recipe: Recipe, loss: Loss, world: int = 1) -> None:
        options = recipe.options
        self.network = network
        self._loss = loss
        self._world = world
        # Batch-norm statistics learn only when training starts from random weights, because those
        # of a small data set are worse than the pretrained ones.
        self._statistics = not recipe.pretrained
        self._average = ExponentialMovingAverage(network, options.ema)
        self._optimizer = paddle.optimizer.AdamW(
            learning_rate=0.0,
            parameters=network.parameters(),
            weight_decay=options.weight_decay,
            apply_decay_param_fun=lambda name: name.endswith("_weights"),
        )
        # On a GPU, the convolutions of Paddle are fast.
        self._quick = options.device == "cpu" and not self._statistics
        self._amp = options.amp
        self._scaler = amp.GradScaler(enable=options.amp)
        self.begin(0)

    def begin(self, frozen: int) -> None:
        """Start a phase in which everything behind the first `frozen` segments learns."""
        self._tail = tail(self.network, frozen)
        self._logits = quick_tail(self.network, frozen) if self._quick else self._tail
        self._trainable = [p for p in self._tail.parameters() if not p.stop_gradient]
        self._learning = {
            id(value)
            for value in self._tail.state_dict().values()
            if self._statistics or not value.stop_gradient
        }

    def set_classifier(self, weights: npt.NDArray[Any], bias: npt.NDArray[Any]) -> None:
        """Give the last layer these weights, (features, classes), and this bias, (classes,).

        All processes get those of the first one.
        """
        layer = self.network.out
        layer.weight.set_value(weights)
        layer.bias.set_value(bias)
        if self._world > 1:
            for parameter in layer.parameters():
                distributed.broadcast(parameter, src=0)
        self._average.reset()

    def soften(self, batches: Iterable[Batch]) -> None:
        """Divide the logits by the temperature at which the training loss of `batches` is lowest.

        Label smoothing wants less confident scores than a regression gives. If only training made
        them so, its first steps would change the whole network and make it worse.
        """
        outputs, truth = self._outputs(batches)
        logits, labels = paddle.to_tensor(outputs), paddle.to_tensor(truth)
        losses = {float(t): float(self._loss(logits / t, labels)) for t in _TEMPERATURES}
        temperature = min(losses, key=lambda t: losses[t])
        layer = self.network.out
        self.set_classifier(layer.weight.numpy() / temperature, layer.bias.numpy() / temperature)

    def rehearse(self, batch: Batch) -> None:
        """Do the work of a training step without a change, so that its time can be measured."""
        logits = self._logits(paddle.to_tensor(batch.inputs))
        self._loss(logits, paddle.to_tensor(batch.labels)).backward()
        self._optimizer.clear_grad()

    def learn(self, batch: Batch, rate: float) -> Step:
        """Take one training step."""
        self._tail.train() if self._statistics else self._tail.eval()
        self._optimizer.set_lr(rate)
        labels = paddle.to_tensor(batch.labels)
        with amp.auto_cast(enable=self._amp):
            logits = self._logits(paddle.to_tensor(batch.inputs))  # (N, classes)
            loss = self._loss(logits, labels)
        self._scaler.scale(loss).backward()
        if self._world > 1:
            # The gradients are averaged over the processes here and not by DataParallel, because
            # DataParallel cannot wrap a parameter twice, which two phases would need.
            fused_allreduce_gradients(self._trainable, None)  # type: ignore[no-untyped-call]
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._optimizer.clear_grad()
        self._average.update(self._learning)
        plain_loss = F.cross_entropy(logits.detach().astype("float32"), labels)
        right = (logits.argmax(axis=1) == labels).sum()
        return Step(float(loss), float(plain_loss), int(right))

    def evaluate(self, batches: Iterable[Batch]) -> Score:
        """Return the averaged network's score on all photos of `batches`."""
        logits, labels = self._outputs(batches)
        calibrated = logits / fit_temperature(logits, labels)
        plain, losses = (_cross_entropies(each, labels) for each in (logits, calibrated))
        rank = Scored(logits, labels).rank
        return self._agreed(
            Score(
                loss=float(losses.mean()),
                error=float(losses.std() / len(losses) ** 0.5),
                plain_loss=float(plain.mean()),
                top1=float((rank < 1).mean()),
                top5=float((rank < 5).mean()),
                recall=measure_recall(rank, labels, logits.shape[1]),
            )
        )

    def _outputs(
        self, batches: Iterable[Batch]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Return the averaged network's logits, (N, classes), and the labels, (N,)."""
        self._tail.eval()
        with self._average.applied(), paddle.no_grad():
            outputs = [
                (self._logits(paddle.to_tensor(inputs)).numpy(), labels)
                for inputs, labels in batches
            ]
        logits, truth = zip(*outputs, strict=True)
        return np.concatenate(logits), np.concatenate(truth)

    def _agreed(self, score: Score) -> Score:
        """Return the first process's score in every process.

        The scores differ a little, because each process has its own batch-norm statistics, but
        all processes must stop after the same epoch.
        """
        if self._world == 1:
            return score
        values = paddle.to_tensor([*score[:-1], *score.recall.values], "float64")
        distributed.broadcast(values, src=0)
        loss, error, plain_loss, top1, top5, *recalls = values.numpy().tolist()
        recall = score.recall._replace(values=tuple(recalls))
        return Score(loss, error, plain_loss, top1, top5, recall)

    def best(self) -> Arrays:
        """Return the averaged network's state."""
        return self._average.values

    @property
    def updates(self) -> int:
        """The number of training steps so far."""
        return self._average.updates

    def groups(self) -> Groups:
        """Return the state that `restore` needs, as arrays."""
        optimizer = self._optimizer.state_dict()
        scaler = self._scaler.state_dict()
        return {
            "network": ExponentialMovingAverage.arrays(self.network.state_dict()),
            "average": self._average.values,
            "optimizer": {
                key: value.numpy() for key, value in optimizer.items() if isinstance(value, Tensor)
            },
            "scaler": {key: np.asarray(value) for key, value in scaler.items()},
        }

    def restore(self, groups: Groups, updates: int) -> None:
        """Set the state to the `groups` and `updates` of an earlier learner."""
        for key, value in self.network.state_dict().items():
            value.set_value(groups["network"][key])
        self._average.restore(dict(groups["average"]), updates)
        self._restore_moments(groups.get("optimizer", {}))
        if scaler := groups.get("scaler"):
            self._scaler.load_state_dict(
                cast("Any", {key: value.item() for key, value in scaler.items()})
            )

    def _restore_moments(self, moments: Mapping[str, npt.NDArray[Any]]) -> None:
        """Give the optimizer's moments to the parameters that have learned so far.

        Paddle itself would assign the moments only in the next step, and would fail if parameters
        without moments take part in that step.
        """
        self._optimizer.set_state_dict({key: paddle.to_tensor(a) for key, a in moments.items()})
        learned = [p for p in self.network.parameters() if f"{p.name}_moment1_0" in moments]
        program: Any = paddle.static.default_main_program()
        # Paddle has no public call that creates the accumulators of given parameters.
        optimizer: Any = self._optimizer
        optimizer._create_accumulators(program.global_block(), learned)  # noqa: SLF001


def _cross_entropies(
    logits: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """Return the cross-entropy of each photo, (N,), from logits (N, classes)."""
    outputs, truth = paddle.to_tensor(logits), paddle.to_tensor(labels)
    return np.asarray(F.cross_entropy(outputs, truth, reduction="none").numpy())
