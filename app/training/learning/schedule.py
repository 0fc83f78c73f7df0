"""The learning rate of each step."""

import math


def learning_rate(step: int, steps: int, peak: float, ramp: int) -> float:
    """Return the learning rate of one step.

    The rate climbs to `peak` in `ramp` steps and then falls to 0 along a cosine.

    Args:
        step: the step's number, from 0.
        steps: the number of all steps.
        peak: the highest rate.
        ramp: the number of steps in which the rate climbs.
    """
    if step < ramp:
        return peak * (step + 1) / ramp
    return peak * (1 + math.cos(math.pi * (step - ramp) / max(steps - ramp, 1))) / 2
