"""The values that a layer's input can take when it has 8 bits."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from app.training.quantization.layers import Floats, Layer

LEVELS = 256
# No channel's step is smaller than this share of the largest one.
_LEAST_STEP = 1e-3


@dataclass(frozen=True)
class Grid:
    """For each channel, 256 evenly spaced values: offset + step * integer.

    Attributes:
        offset, step: (channels,).
        first: the lowest integer, 0 or -128.
    """

    offset: Floats
    step: Floats
    first: int

    @classmethod
    def fit(cls, layer: Layer, low: Floats, high: Floats) -> Self:
        """Return the grid for an input whose channels were seen between `low` and `high` (C,).

        After a ReLU all channels have the same step. A channel's highest value on a few photos is
        no bound for other photos, and a value beyond the grid does more harm than a coarse step.
        The zeros beyond the border must be on the grid of a padded layer. Other inputs
        have steps between that of their own range and that of the widest one, because a channel's
        step scales its weights: too unequal steps would make these coarse.
        """
        if low.min() >= 0:
            step = np.full_like(high, _positive(high.max() / (LEVELS - 1)))
            return cls(np.zeros_like(step), step, 0)
        if layer.padded:
            highest = np.maximum(-low, high).max()
            step = np.full_like(high, _positive(highest / (LEVELS / 2 - 1)))
            return cls(np.zeros_like(step), step, -LEVELS // 2)
        width = (high - low) / (LEVELS - 1)
        widest = _positive(width.max())
        step = np.sqrt(np.maximum(width, _LEAST_STEP * widest) * widest)
        offset = (low + high) / 2 - step * (LEVELS - 1) / 2
        return cls(offset.astype(np.float32), step, 0)

    @classmethod
    def common(cls, low: Floats, high: Floats) -> Self:
        """Return the grid whose channels all have the same step, and on which zero lies."""
        lowest, highest = min(low.min(), 0), max(high.max(), 0)
        step = np.full_like(high, _positive((highest - lowest) / (LEVELS - 1)))
        return cls(step * np.round(lowest / step), step, 0)

    @property
    def zero(self) -> int:
        """The integer that stands for zero, if zero lies on the grid."""
        return int(np.round(-self.offset[0] / self.step[0]))

    def integers(self, layer: Layer, windows: Floats) -> Floats:
        """Return windows (groups, places, inputs) as integers on the grid."""
        steps = (windows - layer.spread(self.offset)) / layer.spread(self.step)
        return np.clip(np.round(steps), self.first, self.first + LEVELS - 1)


def _positive(step: np.floating) -> np.float32:
    """Return the step; for an input that was always zero, 1."""
    return np.float32(step if step > 0 else 1)
