"""The phases of a run: first the classifier alone, then as much of the network as is to learn."""

from typing import NamedTuple

from app.errors import StartupError
from app.training.network.freezing import STEPS
from app.training.options import Options

_AUTO_ON_CPU = 17  # conv8, conv9 and the classifier learn: what two cores do in minutes


class Phase(NamedTuple):
    """Epochs in which the same part learns.

    Attributes:
        name: for people.
        frozen: so many of the network's 19 steps stay as they are.
        epochs: at most.
        rate: the highest learning rate.
        ramp: the part of the steps in which the rate climbs to it, 0 to 1.
    """

    name: str
    frozen: int
    epochs: int
    rate: float
    ramp: float

    @property
    def cached(self) -> bool:
        """Whether the trunk is the whole backbone, so that its features can be kept."""
        return self.frozen == STEPS


def phases(options: Options) -> list[Phase]:
    """Return what is to be done, in order.

    Raises:
        StartupError: there would be nothing to do, or nothing that is worth freezing.
    """
    frozen = _frozen(options)
    if options.weights == "none":
        if frozen:
            raise StartupError("random weights are not worth freezing: leave out --freeze")
        plan = [Phase("training", 0, options.epochs, options.lr or 2e-3, 0.1)]
    else:
        rate = options.lr or 3e-4
        head = Phase("classifier", STEPS, options.warmup_epochs, 10 * rate, 0.05)
        fine = Phase("fine-tuning", frozen, options.epochs, rate, 0.1)
        plan = [head, fine] if frozen < STEPS else [head]
    if not (plan := [phase for phase in plan if phase.epochs]):
        raise StartupError("no epochs, so there is nothing to do")
    return plan


def _frozen(options: Options) -> int:
    """Return how many of the network's steps never learn."""
    if options.freeze in ("all", "backbone"):
        return STEPS
    if options.freeze == "none" or (options.freeze == "auto" and options.weights == "none"):
        return 0
    if options.freeze == "auto":
        return _AUTO_ON_CPU if options.device == "cpu" else 0
    return int(options.freeze)
