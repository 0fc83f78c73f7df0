"""The phases of a run: first the classifier learns alone, then more of the network with it."""

from typing import NamedTuple

from app.errors import StartupError
from app.training.network.freezing import SEGMENTS
from app.training.options import Options

# With --freeze auto on a CPU, only conv8, conv9 and the classifier learn, because two cores can
# train these in minutes.
_AUTO_ON_CPU = 17


class Phase(NamedTuple):
    """Epochs in which the same part of the network learns.

    Attributes:
        name: shown to the user.
        frozen: how many of the network's 19 segments do not learn, counted from the input.
        epochs: the largest number of epochs.
        rate: the highest learning rate.
        ramp: the share of the steps in which the learning rate climbs to `rate`, 0 to 1.
    """

    name: str
    frozen: int
    epochs: int
    rate: float
    ramp: float

    @property
    def cached(self) -> bool:
        """Whether the trunk is the whole backbone, so that its features can be kept in memory."""
        return self.frozen == SEGMENTS


def phases(options: Options) -> list[Phase]:
    """Return the phases of a run in order.

    Raises:
        StartupError: no phase has an epoch, or layers with random weights would be frozen.
    """
    frozen = _frozen(options)
    if options.weights == "none":
        if frozen:
            raise StartupError("random weights are not worth freezing: leave out --freeze")
        plan = [Phase("training", 0, options.epochs, options.lr or 2e-3, 0.1)]
    else:
        rate = options.lr or 3e-4
        head = Phase("classifier", SEGMENTS, options.warmup_epochs, 10 * rate, 0.05)
        fine = Phase("fine-tuning", frozen, options.epochs, rate, 0.1)
        plan = [head, fine] if frozen < SEGMENTS else [head]
    if not (plan := [phase for phase in plan if phase.epochs]):
        raise StartupError(
            "no epochs to train: raise --epochs, or --warmup-epochs for the classifier"
        )
    return plan


def _frozen(options: Options) -> int:
    """Return how many of the network's segments never learn."""
    if options.freeze in ("all", "backbone"):
        return SEGMENTS
    if options.freeze == "none" or (options.freeze == "auto" and options.weights == "none"):
        return 0
    if options.freeze == "auto":
        return _AUTO_ON_CPU if options.device == "cpu" else 0
    return int(options.freeze)
