"""Adam, with the bias correction of its paper or with the constants the 2018 notebook divided by."""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from normcore.schedules import Schedule
from normcore.weight_decay import WeightDecay

BiasCorrection = Literal["power", "constant"]
NO_DECAY = WeightDecay()


class Adam:
    """m ← β1·m + (1−β1)·g; v ← β2·v + (1−β2)·g²; w ← w − lr · m̂ / (√v̂ + eps).

    bias_correction "power": m̂ = m/(1−β1^t), v̂ = v/(1−β2^t) at step t = 1, 2, … "constant": m/(1−β1), v/(1−β2) at
    every step. With a decoupled weight decay this is AdamW. Parameters are changed in place.
    Sources: Kingma, Ba 2014, arXiv:1412.6980, algorithm 1; Loshchilov, Hutter 2019, arXiv:1711.05101.
    """

    def __init__(
        self,
        parameters: Mapping[str, Tensor],
        *,
        learning_rate: Schedule,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-9,
        bias_correction: BiasCorrection = "power",
        weight_decay: WeightDecay = NO_DECAY,
    ) -> None:
        self.parameters = dict(parameters)
        self.learning_rate, self.beta1, self.beta2, self.eps = learning_rate, beta1, beta2, eps
        self.bias_correction, self.weight_decay = bias_correction, weight_decay
        self.steps = 0
        self.m = {name: torch.zeros_like(parameter) for name, parameter in self.parameters.items()}
        self.v = {name: torch.zeros_like(parameter) for name, parameter in self.parameters.items()}

    def step(self, gradients: Mapping[str, Tensor]) -> None:
        """Move every parameter by its gradient, of the same name and shape. Raises KeyError for a missing gradient."""
        rate = self.learning_rate(self.steps)
        self.steps += 1
        power = self.steps if self.bias_correction == "power" else 1
        m_scale, v_scale = 1 / (1 - self.beta1**power), 1 / (1 - self.beta2**power)
        for name, parameter in self.parameters.items():
            gradient = self.weight_decay.decay(name, parameter, gradients[name], rate)
            m, v = self.m[name], self.v[name]
            m.lerp_(gradient, 1 - self.beta1)
            v.mul_(self.beta2).addcmul_(gradient, gradient, value=1 - self.beta2)
            parameter.addcdiv_(m * m_scale, (v * v_scale).sqrt_().add_(self.eps), value=-rate)

    def state(self) -> dict[str, Tensor]:
        """The averages m and v of every parameter; the live tensors."""
        return {f"m/{name}": m for name, m in self.m.items()} | {f"v/{name}": v for name, v in self.v.items()}
