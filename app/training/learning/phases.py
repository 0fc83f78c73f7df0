"""The phases of a run: first a regression gives the classifier, then more of the network learns."""

from typing import NamedTuple

from app.errors import StartupError
from app.training.network.freezing import SEGMENTS
from app.training.options import Options

REGRESSION = "regression"
FINE_TUNING = "fine-tuning"

# With --freeze auto on a CPU, conv7, conv8, conv9 and the classifier learn. With fewer photos than
# the number, only conv8, conv9 and the classifier do.
DEEP, SHALLOW = 14, 17
_FEW_PHOTOS = 200
# With 5e-4 and fixed batch-norm statistics, the loss rises for the first epochs.
_RATE = 1.5e-4


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


def phases(options: Options, photos: int, *, kept: bool = False) -> list[Phase]:
    """Return the phases of a run in order.

    Args:
        options: the user's choices.
        photos: the number of photos to learn from.
        kept: whether the first weights have a classifier of these classes, so that no regression
            is needed.

    Raises:
        StartupError: no phase has an epoch, or layers with random weights would be frozen.
    """
    frozen = _frozen(options, photos)
    if options.weights == "none":
        if frozen:
            raise StartupError("random weights are not worth freezing: leave out --freeze")
        if not options.epochs:
            raise StartupError("no epochs to train: raise --epochs")
        return [Phase("training", 0, options.epochs, options.lr or 2e-3, 0.1)]
    regression = Phase(REGRESSION, SEGMENTS, 1, 0.0, 0.0)
    if frozen == SEGMENTS or not options.epochs:
        return [regression]
    rate = options.lr or _RATE
    tuning = Phase(FINE_TUNING, frozen, options.epochs, rate, 0.2)
    return [tuning] if kept else [regression, tuning]


def _frozen(options: Options, photos: int) -> int:
    """Return how many of the network's segments never learn."""
    if options.freeze in ("all", "backbone"):
        return SEGMENTS
    if options.freeze == "none" or (options.freeze == "auto" and options.weights == "none"):
        return 0
    if options.freeze == "auto":
        if options.device == "gpu":
            return 0
        return SHALLOW if photos < _FEW_PHOTOS else DEEP
    return int(options.freeze)
