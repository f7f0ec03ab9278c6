"""Stochastic gradient descent with momentum, Nesterov's too."""

from collections.abc import Mapping

import torch
from torch import Tensor

from normcore.optimizers.schedules import Schedule
from normcore.optimizers.weight_decay import WeightDecay

NO_DECAY = WeightDecay()


class SGD:
    """v ← momentum · v + g; w ← w − lr · v, or with nesterov w ← w − lr · (g + momentum · v).

    Parameters are changed in place. Source: Sutskever, Martens, Dahl, Hinton 2013, ICML, in the form that torch.optim
    has, where the learning rate stands outside the velocity.
    """

    def __init__(
        self,
        parameters: Mapping[str, Tensor],
        *,
        learning_rate: Schedule,
        momentum: float = 0.9,
        nesterov: bool = False,
        weight_decay: WeightDecay = NO_DECAY,
    ) -> None:
        self.parameters = dict(parameters)
        self.learning_rate, self.momentum, self.nesterov = learning_rate, momentum, nesterov
        self.weight_decay = weight_decay
        self.steps = 0
        self.velocity = {name: torch.zeros_like(parameter) for name, parameter in self.parameters.items()}

    def next_coefficients(self) -> list[float]:
        """The learning rate; the step counts as taken."""
        self.steps += 1
        return [self.learning_rate(self.steps - 1)]

    def update(self, gradients: Mapping[str, Tensor], coefficients: Tensor) -> None:
        """Move every parameter by its gradient, of the same name and shape. Raises KeyError for a missing gradient."""
        (rate,) = coefficients.unbind()
        g = self.weight_decay.decayed(self.parameters, gradients, rate)
        v = list(self.velocity.values())
        torch._foreach_mul_(v, self.momentum)
        torch._foreach_add_(v, g)
        moves = torch._foreach_add(g, v, alpha=self.momentum) if self.nesterov else v
        torch._foreach_sub_(list(self.parameters.values()), torch._foreach_mul(moves, rate))

    def state(self) -> dict[str, Tensor]:
        """The velocity of every parameter; the live tensors."""
        return {f"velocity/{name}": velocity for name, velocity in self.velocity.items()}
