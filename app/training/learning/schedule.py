"""How fast the network learns, and in which order it sees the photos."""

import math

import numpy as np


def learning_rate(step: int, steps: int, peak: float, ramp: int) -> float:
    """Return the rate of `step` of `steps`: `ramp` steps up to `peak`, then a cosine down to 0."""
    if step < ramp:
        return peak * (step + 1) / ramp
    return peak * (1 + math.cos(math.pi * (step - ramp) / max(steps - ramp, 1))) / 2


def epoch_order(photos: int, batch_size: int, key: tuple[int, ...]) -> list[list[int]]:
    """Return the batches of an epoch as places of photos: each once, in an order drawn by `key`."""
    order = np.random.default_rng(key).permutation(photos).tolist()
    return [order[start : start + batch_size] for start in range(0, photos, batch_size)]
