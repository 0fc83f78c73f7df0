"""The moving average of a network's state, which is steadier than the state itself."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import paddle
from paddle import Tensor, nn

from app.training.weights.pdparams import Arrays


class Average:
    """average = d * average + (1 - d) * state, with d growing to `decay` over the first steps."""

    def __init__(self, network: nn.Layer, decay: float) -> None:
        self._state: dict[str, Tensor] = network.state_dict()
        self._decay = decay
        self._values = {key: value.clone().detach() for key, value in self._state.items()}
        self.updates = 0

    @paddle.no_grad()
    def update(self, learning: set[int]) -> None:
        """Take a step, for the tensors whose id is in `learning`; the others do not change."""
        self.updates += 1
        d = min(self._decay, (1 + self.updates) / (10 + self.updates))
        for key, value in self._state.items():
            if id(value) in learning:
                self._values[key].scale_(d).add_(value.detach() * (1 - d))

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Let the network have the averages for a while."""
        own = self.arrays(self._state)
        self.load(self._values, self._state)
        try:
            yield
        finally:
            for key, array in own.items():
                self._state[key].set_value(array)

    @property
    def values(self) -> Arrays:
        """The averages by the names of the network's state."""
        return self.arrays(self._values)

    def restore(self, arrays: Arrays, updates: int) -> None:
        """Go on from what `values` and `updates` were."""
        self.updates = updates
        for key, array in arrays.items():
            self._values[key].set_value(array)

    @staticmethod
    def arrays(state: dict[str, Tensor]) -> Arrays:
        """Return copies."""
        return {key: np.array(value.numpy(), np.float32) for key, value in state.items()}

    @staticmethod
    def load(values: dict[str, Tensor], state: dict[str, Tensor]) -> None:
        """Set `state` to `values`."""
        for key, value in state.items():
            value.set_value(values[key])
