"""The limits of a gradient check, and its judgement of each compared value."""

import math
from dataclasses import dataclass

import torch

from normcore.engines import Eager, Engine
from normlab.spec.gradient_check import ComparedErrors
from worker.training.gradient_check.comparison import Comparison
from worker.training.gradient_check.errors import Key, Kind

FLOAT64_LIMIT = 1e-8  # a larger error means a wrong formula; rounding is about six digits smaller
TRAINING_LIMIT = 1e-3  # of float32, whose rounding is about 1e-6
# Of the gradients of an engine that rounds otherwise than the eager step. A value that rounding moves across a kink
# changes the gradient of a layer with n active values by about 1/√n of its norm. So only layers of fewer than 100
# values can exceed this by rounding, and there about one value in ten million is so close to a kink.
FUSED_LIMIT = 0.1
ROUNDING_FACTOR = 100.0  # our formulas and PyTorch's kernels differ in how often they round
# How much more than one jitter of every value a right computation may differ. A rounded mean shifts all values alike,
# so a sum of them that cancels shows it thousands of times. In float32 PyTorch's own rounding is measured too.
FLOAT64_SENSITIVITY_FACTOR, TRAINING_SENSITIVITY_FACTOR = 1e5, 1e3
PRECISION_RATIO = torch.finfo(torch.float32).eps / torch.finfo(torch.float64).eps


@dataclass(frozen=True)
class Excess:
    """An error above its limit."""

    error: float
    limit: float


@dataclass(frozen=True)
class Judgement:
    """The two comparisons of a check, and the limits that their errors are judged by.

    exact: in float64. own: the training's own steps. engine: of the training's own steps.
    """

    exact: Comparison
    own: Comparison
    engine: Engine

    def errors(self, key: Key) -> ComparedErrors:
        """Return both errors of a compared value with their limits."""
        exact, own = _finite(self.exact.errors[key]), _finite(self.own.errors[key])
        return ComparedErrors(
            float64=exact,
            float64_limit=None if exact is None else _finite(self._float64_limit(key)),
            training=own,
            training_limit=None if own is None else _finite(self._training_limit(key)),
        )

    def excess_in_float64(self, key: Key) -> Excess | None:
        """Return a value's error in float64 if it is above the limit."""
        error, limit = self.exact.errors[key], self._float64_limit(key)
        return None if error is None or limit is None or error <= limit else Excess(error, limit)

    def excess_in_training(self, key: Key) -> Excess | None:
        """Return a value's error in the training's own steps if it is above the limit."""
        error, limit = self.own.errors[key], self._training_limit(key)
        return None if error is None or limit is None or error <= limit else Excess(error, limit)

    def _float64_limit(self, key: Key) -> float | None:
        """Return the limit in float64; None or infinity where the jittered reference is not finite."""
        sensitivity = 0.0 if key[0] == Kind.CAPTURE else self.exact.sensitivity[key]
        return None if sensitivity is None else max(FLOAT64_LIMIT, FLOAT64_SENSITIVITY_FACTOR * sensitivity)

    def _training_limit(self, key: Key) -> float | None:
        """Return the limit of the training's own steps; None or infinity where a reference was not finite either."""
        rounding, sensitivity = self.own.rounding[key], self.exact.sensitivity[key]
        is_fused = not isinstance(self.engine, Eager)
        if key[0] == Kind.CAPTURE:  # the two steps that it compares are both the training's own
            return TRAINING_LIMIT
        if rounding is None or sensitivity is None or (key[0] == Kind.CORRECT and is_fused):
            return None
        limit = FUSED_LIMIT if key[0] == Kind.GRADIENTS and is_fused else TRAINING_LIMIT
        magnified = TRAINING_SENSITIVITY_FACTOR * PRECISION_RATIO * sensitivity
        return max(limit, ROUNDING_FACTOR * rounding, magnified)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
