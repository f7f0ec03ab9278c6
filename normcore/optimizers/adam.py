"""Adam, with the bias correction of its paper or with the constants the 2018 notebook divided by."""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from normcore.optimizers.schedules import Schedule
from normcore.optimizers.weight_decay import WeightDecay

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

    def next_coefficients(self) -> list[float]:
        """The learning rate and what m and v are multiplied by; the step counts as taken."""
        rate = self.learning_rate(self.steps)
        self.steps += 1
        power = self.steps if self.bias_correction == "power" else 1
        return [rate, 1 / (1 - self.beta1**power), 1 / (1 - self.beta2**power)]

    def update(self, gradients: Mapping[str, Tensor], coefficients: Tensor) -> None:
        """Move every parameter by its gradient, of the same name and shape. Raises KeyError for a missing gradient."""
        rate, m_scale, v_scale = coefficients.unbind()
        g = self.weight_decay.decayed(self.parameters, gradients, rate)
        m, v = list(self.m.values()), list(self.v.values())
        # Lists at once: on a GPU a kernel for all of the parameters instead of one for each.
        torch._foreach_lerp_(m, g, 1 - self.beta1)
        torch._foreach_mul_(v, self.beta2)
        torch._foreach_addcmul_(v, g, g, value=1 - self.beta2)
        denominators = torch._foreach_mul(v, v_scale)
        torch._foreach_sqrt_(denominators)
        torch._foreach_add_(denominators, self.eps)
        moves = torch._foreach_mul(m, rate * m_scale)
        torch._foreach_div_(moves, denominators)
        torch._foreach_sub_(list(self.parameters.values()), moves)

    def state(self) -> dict[str, Tensor]:
        """The averages m and v of every parameter; the live tensors."""
        return {f"m/{name}": m for name, m in self.m.items()} | {f"v/{name}": v for name, v in self.v.items()}
