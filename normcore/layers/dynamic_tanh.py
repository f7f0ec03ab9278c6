"""Dynamic tanh: what stands in for a normalization without any statistics, one learned steepness for the layer."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from normcore.layers.layer import Gradients


class Cache(NamedTuple):
    """x and out, N C H W."""

    x: Tensor
    out: Tensor


@dataclass(frozen=True)
class DynamicTanh:
    """out = tanh(alpha · x). Backward, with slope = dout · (1 − out²): dx = alpha · slope; dalpha = Σ slope · x.

    Shapes: x, out, dout, dx are N C H W; alpha is a scalar, 0.5 at the start in the source.
    Source: Zhu, Chen, He, LeCun, Liu 2025, arXiv:2503.10622; its scale and shift are Affine's.
    """

    alpha: Tensor

    def forward(self, x: Tensor) -> tuple[Tensor, Cache]:
        """The output, and x and out for backward."""
        out = torch.tanh(self.alpha * x)
        return out, Cache(x, out)

    def infer(self, x: Tensor) -> Tensor:
        """As forward."""
        return torch.tanh(self.alpha * x)

    def backward(self, dout: Tensor, cache: Cache) -> tuple[Tensor, Gradients]:
        """dx, and {"alpha": dalpha}, a scalar."""
        x, out = cache
        slope = dout * (1 - out * out)
        return self.alpha * slope, {"alpha": (slope * x).sum()}

    def parameters(self) -> dict[str, Tensor]:
        """The steepness, a scalar."""
        return {"alpha": self.alpha}

    def buffers(self) -> dict[str, Tensor]:
        """None."""
        return {}
