"""Learning rate schedules. Each is a function of the step's number, from 0, so there is no state to store."""

import math
from collections.abc import Callable

Schedule = Callable[[int], float]


def constant(rate: float) -> Schedule:
    """Return the schedule with the same rate at every step."""
    return lambda step: rate


def step_decay(rate: float, *, every: int, factor: float) -> Schedule:
    """Return rate · factor^⌊step / every⌋: the rate is multiplied by factor after each `every` steps."""
    return lambda step: rate * factor ** (step // every)


def cosine(rate: float, *, steps: int) -> Schedule:
    """Return rate · (1 + cos(π · step / steps)) / 2, which falls to 0 at the last step and stays there.

    Source: Loshchilov, Hutter 2017, arXiv:1608.03983.
    """
    return lambda step: rate * (1 + math.cos(math.pi * min(step / steps, 1.0))) / 2


def warmed_up(schedule: Schedule, *, steps: int) -> Schedule:
    """Return the schedule after a linear warm-up of `steps` steps, from 1/steps of its first rate up to it."""
    return lambda step: schedule(0) * (step + 1) / steps if step < steps else schedule(step - steps)
