"""How fast the network learns, and in which order it sees the photos."""

import math


def learning_rate(step: int, steps: int, peak: float, ramp: int) -> float:
    """Return the rate of `step` of `steps`: `ramp` steps up to `peak`, then a cosine down to 0."""
    if step < ramp:
        return peak * (step + 1) / ramp
    return peak * (1 + math.cos(math.pi * (step - ramp) / max(steps - ramp, 1))) / 2
