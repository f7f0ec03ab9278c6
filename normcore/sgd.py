"""Stochastic gradient descent with momentum, Nesterov's too."""

from collections.abc import Mapping

import torch
from torch import Tensor

from normcore.schedules import Schedule
from normcore.weight_decay import WeightDecay

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

    def step(self, gradients: Mapping[str, Tensor]) -> None:
        """Move every parameter by its gradient, of the same name and shape. Raises KeyError for a missing gradient."""
        rate = self.learning_rate(self.steps)
        self.steps += 1
        for name, parameter in self.parameters.items():
            gradient = self.weight_decay.decay(name, parameter, gradients[name], rate)
            velocity = self.velocity[name].mul_(self.momentum).add_(gradient)
            move = gradient + self.momentum * velocity if self.nesterov else velocity
            parameter.add_(move, alpha=-rate)

    def state(self) -> dict[str, Tensor]:
        """The velocity of every parameter; the live tensors."""
        return {f"velocity/{name}": velocity for name, velocity in self.velocity.items()}
