"""Weight decay, coupled to the gradient or decoupled from it."""

from collections.abc import Collection, Mapping
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

    def decayed(
        self, parameters: Mapping[str, Tensor], gradients: Mapping[str, Tensor], learning_rate: Tensor
    ) -> list[Tensor]:
        """The gradients to step by, in the parameters' order; those of them that decay have done so, if decoupled.

        Raises KeyError for a parameter without a gradient.
        """
        named = [name for name in parameters if name in self.names] if self.rate else []
        if not self.coupled:
            for name in named:
                parameters[name].mul_(1 - learning_rate * self.rate)
            return [gradients[name] for name in parameters]
        return [
            gradients[name] + self.rate * parameter if name in named else gradients[name]
            for name, parameter in parameters.items()
        ]
