"""What each engine makes of a bundle: a network that can run."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


class Network(ABC):
    """A network that a library has loaded."""

    def __call__(self, planes: Floats) -> Floats:
        """Return the network's output for (N, 3, H, W); (N, classes) if it is a classifier."""
        return self.outputs(planes)[0]

    @abstractmethod
    def outputs(self, planes: Floats) -> Sequence[Floats]:
        """Return all outputs for (N, 3, H, W), if the graph has more than one."""

    # Most libraries have nothing to do for the following two.

    def prepare(self, sizes: Sequence[int]) -> None:  # noqa: B027
        """Do what can be done before a fork for batches of these sizes, without running them."""

    def release(self) -> None:  # noqa: B027
        """Free memory that the network does not need between two batches."""
