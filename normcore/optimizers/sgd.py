"""Stochastic gradient descent with momentum, optionally Nesterov's."""

from collections.abc import Mapping

import torch
from torch import Tensor

from normcore.optimizers.schedules import Schedule
from normcore.optimizers.weight_decay import WeightDecay

NO_DECAY = WeightDecay()


class SGD:
    """Update parameters, in place, by a velocity that accumulates their gradients.

    Update: v ← momentum · v + g; w ← w − lr · v, or with nesterov w ← w − lr · (g + momentum · v).

    Args:
        parameters: What to update, by name.
        learning_rate: lr, a function of the step's number.
        momentum: The fraction of the old velocity that each step keeps.
        nesterov: Whether to use Nesterov's momentum.
        weight_decay: Which parameters decay, how much, and in which of the two ways.

    Source: Sutskever, Martens, Dahl, Hinton 2013, ICML, in the form of torch.optim, where the learning rate is outside
    the velocity.
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
        """Return the learning rate; counts the step."""
        self.steps += 1
        return [self.learning_rate(self.steps - 1)]

    def update(self, gradients: Mapping[str, Tensor], coefficients: Tensor) -> None:
        """Update every parameter by its gradient. Raises KeyError for a missing gradient."""
        (rate,) = coefficients.unbind()
        g = self.weight_decay.decayed(self.parameters, gradients, rate)
        v = list(self.velocity.values())
        torch._foreach_mul_(v, self.momentum)
        torch._foreach_add_(v, g)
        updates = torch._foreach_add(g, v, alpha=self.momentum) if self.nesterov else v
        torch._foreach_sub_(list(self.parameters.values()), torch._foreach_mul(updates, rate))

    def state(self) -> dict[str, Tensor]:
        """Return the velocity of every parameter: the live tensors."""
        return {f"velocity/{name}": velocity for name, velocity in self.velocity.items()}
