"""Weight decay, coupled to the gradient or decoupled from it."""

from collections.abc import Collection
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class WeightDecay:
    """Coupled: g ← g + rate · w, an L2 penalty, which an adaptive optimizer rescales. Decoupled: w ← w − lr · rate · w.

    names: of the parameters that decay. Source: Loshchilov, Hutter 2019, arXiv:1711.05101, algorithm 2.
    """

    rate: float = 0.0
    coupled: bool = False
    names: Collection[str] = frozenset()

    def decay(self, name: str, parameter: Tensor, gradient: Tensor, learning_rate: float) -> Tensor:
        """The gradient to step by; the parameter has decayed, if decoupled."""
        if not self.rate or name not in self.names:
            return gradient
        if self.coupled:
            return gradient + self.rate * parameter
        parameter.mul_(1 - learning_rate * self.rate)
        return gradient
