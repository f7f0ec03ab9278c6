"""Activations other than ReLU, which needs less memory: a function of each element, and its slope."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from normcore.layers.layer import Gradients

Function = Literal["leaky_relu", "elu", "gelu", "silu", "tanh"]

LEAK = 0.01


@dataclass(frozen=True)
class Activation:
    """out = f(x), element by element. Backward: dx = dout · f′(x).

    leaky_relu: x, or 0.01·x below 0 (Maas, Hannun, Ng 2013). elu: x, or e^x − 1 below 0 (Clevert et al. 2015,
    arXiv:1511.07289). gelu: x·Φ(x) with the normal distribution's Φ, not its tanh approximation (Hendrycks, Gimpel
    2016, arXiv:1606.08415). silu: x·σ(x) (the same). tanh.

    Shapes: x, out, dout, dx are alike, any.
    """

    function: Function

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The output, and x for backward."""
        return VALUES[self.function](x), x

    def infer(self, x: Tensor) -> Tensor:
        """As forward."""
        return VALUES[self.function](x)

    def backward(self, dout: Tensor, cache: Tensor) -> tuple[Tensor, Gradients]:
        """dx, and no parameter's gradient."""
        return dout * SLOPES[self.function](cache), {}

    def parameters(self) -> dict[str, Tensor]:
        """None."""
        return {}

    def buffers(self) -> dict[str, Tensor]:
        """None."""
        return {}


def _normal_distribution(x: Tensor) -> Tensor:
    return 0.5 * torch.erfc(x * -math.sqrt(0.5))  # erfc, not 1 + erf, which cancels far below 0


def _normal_density(x: Tensor) -> Tensor:
    return torch.exp(-0.5 * x * x) * (1 / math.sqrt(2 * math.pi))


def _silu_slope(x: Tensor) -> Tensor:
    sigmoid = torch.sigmoid(x)
    return sigmoid + x * (sigmoid * (1 - sigmoid))  # in this order no product of a huge and a vanishing number is NaN


VALUES: dict[Function, Callable[[Tensor], Tensor]] = {
    "leaky_relu": lambda x: torch.where(x > 0, x, LEAK * x),
    "elu": lambda x: torch.where(x > 0, x, torch.expm1(torch.where(x > 0, 0.0, x))),
    "gelu": lambda x: x * _normal_distribution(x),
    "silu": lambda x: x * torch.sigmoid(x),
    "tanh": torch.tanh,
}
SLOPES: dict[Function, Callable[[Tensor], Tensor]] = {
    "leaky_relu": lambda x: torch.where(x > 0, torch.ones_like(x), LEAK),
    "elu": lambda x: torch.exp(x.clamp(max=0)),
    "gelu": lambda x: _normal_distribution(x) + x * _normal_density(x),
    "silu": _silu_slope,
    "tanh": lambda x: 1 - torch.tanh(x).square(),
}
