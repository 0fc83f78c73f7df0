"""The exponential moving average (EMA) of a network's state.

The average changes less from step to step than the state itself.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import paddle
from paddle import Tensor, nn

from app.training.weights.pdparams import Arrays


class ExponentialMovingAverage:
    """average = d * average + (1 - d) * state, where d grows to `decay` over the first steps.

    Attributes:
        updates: the number of updates so far.
    """

    def __init__(self, network: nn.Layer, decay: float) -> None:
        self._state: dict[str, Tensor] = network.state_dict()
        self._decay = decay
        self._values = {key: value.clone().detach() for key, value in self._state.items()}
        self.updates = 0

    @paddle.no_grad()
    def update(self, learning: set[int]) -> None:
        """Move the average towards the state, for the tensors whose `id` is in `learning`."""
        self.updates += 1
        d = min(self._decay, (1 + self.updates) / (10 + self.updates))
        for key, value in self._state.items():
            if id(value) in learning:
                self._values[key].scale_(d).add_(value.detach() * (1 - d))

    def reset(self) -> None:
        """Let the average begin again with the network's present state."""
        self.updates = 0
        self.load(self._state, self._values)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Give the network the averages inside a `with` block, and its own state back after it."""
        state = self.arrays(self._state)
        self.load(self._values, self._state)
        try:
            yield
        finally:
            for key, array in state.items():
                self._state[key].set_value(array)

    @property
    def values(self) -> Arrays:
        """Copies of the averages, with the keys of the network's state dict."""
        return self.arrays(self._values)

    def restore(self, arrays: Arrays, updates: int) -> None:
        """Set the average to the `values` and `updates` of an earlier one."""
        self.updates = updates
        for key, array in arrays.items():
            self._values[key].set_value(array)

    @staticmethod
    def arrays(state: dict[str, Tensor]) -> Arrays:
        """Return copies of the tensors as float32 arrays."""
        return {key: np.array(value.numpy(), np.float32) for key, value in state.items()}

    @staticmethod
    def load(values: dict[str, Tensor], state: dict[str, Tensor]) -> None:
        """Set the tensors of `state` to those of `values`."""
        for key, value in state.items():
            value.set_value(values[key])
