"""Adam, with the bias correction of its paper or with the constants of the 2018 notebook."""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from normcore.optimizers.schedules import Schedule
from normcore.optimizers.weight_decay import WeightDecay

BiasCorrection = Literal["power", "constant"]
NO_DECAY = WeightDecay()


class Adam:
    """Update parameters, in place, by running averages of their gradients. With decoupled weight decay this is AdamW.

    Update: m ← β1·m + (1−β1)·g; v ← β2·v + (1−β2)·g²; w ← w − lr · m̂ / (√v̂ + eps).

    Args:
        parameters: What to update, by name.
        learning_rate: lr, a function of the step's number.
        beta1: β1, the fraction of the old m that each step keeps.
        beta2: β2, the fraction of the old v that each step keeps.
        eps: Added to √v̂ for numerical stability.
        bias_correction: "power" for m̂ = m/(1−β1^t) and v̂ = v/(1−β2^t) at step t = 1, 2, …; "constant" for m/(1−β1) and
            v/(1−β2) at every step, as in the 2018 notebook.
        weight_decay: Which parameters decay, how much, and in which of the two ways.

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
        """Return the learning rate and the factors of m and v; counts the step."""
        rate = self.learning_rate(self.steps)
        self.steps += 1
        power = self.steps if self.bias_correction == "power" else 1
        return [rate, 1 / (1 - self.beta1**power), 1 / (1 - self.beta2**power)]

    def update(self, gradients: Mapping[str, Tensor], coefficients: Tensor) -> None:
        """Update every parameter by its gradient. Raises KeyError for a missing gradient."""
        rate, m_scale, v_scale = coefficients.unbind()
        g = self.weight_decay.decayed(self.parameters, gradients, rate)
        m, v = list(self.m.values()), list(self.v.values())
        # Whole lists at a time: on a GPU this is one kernel for all parameters instead of one for each.
        torch._foreach_lerp_(m, g, 1 - self.beta1)
        torch._foreach_mul_(v, self.beta2)
        torch._foreach_addcmul_(v, g, g, value=1 - self.beta2)
        denominators = torch._foreach_mul(v, v_scale)
        torch._foreach_sqrt_(denominators)
        torch._foreach_add_(denominators, self.eps)
        updates = torch._foreach_mul(m, rate * m_scale)
        torch._foreach_div_(updates, denominators)
        torch._foreach_sub_(list(self.parameters.values()), updates)

    def state(self) -> dict[str, Tensor]:
        """Return the averages m and v of every parameter: the live tensors."""
        return {f"m/{name}": m for name, m in self.m.items()} | {f"v/{name}": v for name, v in self.v.items()}
