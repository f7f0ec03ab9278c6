"""The limits of a gradient check, and its judgement of each compared value."""

import math
from dataclasses import dataclass

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
        """Return both errors of a compared value."""
        return ComparedErrors(
            float64=_finite(self.exact.errors[key]), training=_finite(self.own.errors[key]),
            training_limit=self._limit(key),
        )  # fmt: skip

    def excess_in_float64(self, key: Key) -> Excess | None:
        """Return a value's error in float64 if it is above the limit."""
        error = self.exact.errors[key]
        return None if error is None or error <= FLOAT64_LIMIT else Excess(error, FLOAT64_LIMIT)

    def excess_in_training(self, key: Key) -> Excess | None:
        """Return a value's error in the training's own steps if it is above the limit."""
        error, limit = self.own.errors[key], self._limit(key)
        return None if error is None or limit is None or error <= limit else Excess(error, limit)

    def _limit(self, key: Key) -> float | None:
        """Return the limit of the training's own steps; None where PyTorch's own values were not finite either."""
        is_fused, rounding = not isinstance(self.engine, Eager), self.own.rounding[key]
        if key[0] == Kind.CAPTURE:  # the two steps that it compares are both the training's own
            rounding = 0.0
        if rounding is None or math.isinf(rounding) or (key[0] == Kind.CORRECT and is_fused):
            return None
        limit = FUSED_LIMIT if key[0] == Kind.GRADIENTS and is_fused else TRAINING_LIMIT
        return max(limit, ROUNDING_FACTOR * rounding)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
