"""Activations other than ReLU: a function of each element, and its derivative. ReLU's file is apart: it caches less."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from normcore.annotations import Float
from normcore.layers.layer import Gradients

Function = Literal["leaky_relu", "elu", "gelu", "silu", "tanh"]

LEAK = 0.01


@dataclass(frozen=True)
class Activation:
    """Apply a function f to each element.

    Forward:  out = f(x).
    Backward: dx = dout · f′(x).

    | function | f(x) | f′(x) |
    |---|---|---|
    | leaky_relu | x where x > 0, else 0.01·x | 1 where x > 0, else 0.01 |
    | elu | x where x > 0, else e^x − 1 | 1 where x > 0, else e^x |
    | gelu | x·Φ(x) | Φ(x) + x·φ(x) |
    | silu | x·σ(x) | σ(x) + x·σ(x)·(1 − σ(x)) |
    | tanh | tanh(x) | 1 − tanh²(x) |

    Φ and φ are the normal distribution and its density (not the tanh approximation); σ(x) = 1/(1 + e^−x).

    Args:
        function: The name of f.

    >>> out, cache = Activation("tanh").forward(torch.zeros(2))
    >>> Activation("tanh").backward(torch.ones(2), cache)
    (tensor([1., 1.]), {})

    Shapes: x, out, dout and dx have the same shape, which is any.
    Sources: leaky_relu Maas, Hannun, Ng 2013; elu Clevert, Unterthiner, Hochreiter 2015, arXiv:1511.07289; gelu and
    silu Hendrycks, Gimpel 2016, arXiv:1606.08415.
    """

    function: Function

    def forward(self, x: Float[Tensor, "*shape"]) -> tuple[Float[Tensor, "*shape"], Tensor]:
        """Return the output, and x as the cache."""
        return VALUES[self.function](x), x

    def backward(self, dout: Float[Tensor, "*shape"], cache: Tensor) -> tuple[Float[Tensor, "*shape"], Gradients]:
        """Return dx and no parameter gradients."""
        return dout * SLOPES[self.function](cache), {}


def _normal_distribution(x: Tensor) -> Tensor:
    return 0.5 * torch.erfc(x * -math.sqrt(0.5))  # erfc, not 1 + erf, which cancels far below 0


def _normal_density(x: Tensor) -> Tensor:
    return torch.exp(-0.5 * x * x) * (1 / math.sqrt(2 * math.pi))


def _silu_slope(x: Tensor) -> Tensor:
    sigmoid = torch.sigmoid(x)
    # In this order no product of a huge and a vanishing number is NaN.
    return sigmoid + x * (sigmoid * (1 - sigmoid))


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
