"""Weight decay, coupled to the gradient or decoupled from it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class WeightDecay:
    """Shrink parameters towards 0 at each step.

    Coupled:   g ← g + rate · w, an L2 penalty, which an adaptive optimizer rescales.
    Decoupled: w ← w − lr · rate · w, before the optimizer's own update.

    Args:
        rate: The strength; 0 for none.
        coupled: Whether the decay is added to the gradient.
        names: The names of the parameters that decay.

    Source: Loshchilov, Hutter 2019, arXiv:1711.05101, algorithm 2.
    """

    rate: float = 0.0
    coupled: bool = False
    names: Collection[str] = frozenset()

    def decayed(
        self, parameters: Mapping[str, Tensor], gradients: Mapping[str, Tensor], learning_rate: Tensor
    ) -> list[Tensor]:
        """Return the gradients to update by, in the parameters' order. Decoupled decay shrinks the parameters here.

        Raises KeyError for a parameter without a gradient.
        """
        decaying = [name for name in parameters if name in self.names] if self.rate else []
        if not self.coupled:
            for name in decaying:
                parameters[name].mul_(1 - learning_rate * self.rate)
            return [gradients[name] for name in parameters]
        return [
            gradients[name] + self.rate * parameter if name in decaying else gradients[name]
            for name, parameter in parameters.items()
        ]
