"""Learning rates over a training: each a function of the step's number, from 0, so that nothing need be remembered."""

import math
from collections.abc import Callable

Schedule = Callable[[int], float]


def constant(rate: float) -> Schedule:
    """The same at every step."""
    return lambda step: rate


def step_decay(rate: float, *, every: int, factor: float) -> Schedule:
    """rate · factor^⌊step / every⌋: multiplied by the factor once in so many steps."""
    return lambda step: rate * factor ** (step // every)


def cosine(rate: float, *, steps: int) -> Schedule:
    """rate · (1 + cos(π · step / steps)) / 2: half a wave, to 0. Source: Loshchilov, Hutter 2017, arXiv:1608.03983."""
    return lambda step: rate * (1 + math.cos(math.pi * min(step / steps, 1.0))) / 2


def warmed_up(schedule: Schedule, *, steps: int) -> Schedule:
    """The schedule after so many steps of a straight rise to its first rate: the first is 1/steps of it."""
    return lambda step: schedule(0) * (step + 1) / steps if step < steps else schedule(step - steps)
