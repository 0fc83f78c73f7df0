"""How deep and how long fine-tuning may go in a given time."""

from collections.abc import Mapping
from typing import NamedTuple

# Random views of each photo that fine-tuning keeps; more epochs learn from them again.
VIEWS = 6
# With fewer epochs than this, it is better to learn less of the network for longer.
_LEAST_EPOCHS = 6


class Cost(NamedTuple):
    """The measured time for a photo.

    Attributes:
        view: seconds to read a view and to compute what the frozen part makes of it.
        step: seconds of a training step.
    """

    view: float
    step: float

    def seconds(self, epochs: int, photos: int) -> float:
        """Return the expected time of this number of epochs with this number of photos."""
        return photos * (min(epochs, VIEWS) * self.view + epochs * self.step)


def fit_into(
    seconds: float, costs: Mapping[int, Cost], epochs: int, photos: int
) -> tuple[int, int]:
    """Return how many segments stay frozen, and the number of epochs, which may be 0.

    Args:
        seconds: the time that is left.
        costs: by the number of frozen segments.
        epochs: the largest number of epochs.
        photos: the number of all photos; a held-out photo costs as much as one to learn from.
    """
    fitting = {
        frozen: sum(cost.seconds(count, photos) <= seconds for count in range(1, epochs + 1))
        for frozen, cost in costs.items()
    }
    enough = [frozen for frozen, count in fitting.items() if count >= min(_LEAST_EPOCHS, epochs)]
    frozen = min(enough) if enough else max(fitting, key=lambda frozen: fitting[frozen])
    return frozen, fitting[frozen]
