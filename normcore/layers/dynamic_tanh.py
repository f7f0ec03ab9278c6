"""Dynamic tanh: a replacement of normalization without statistics, with one learned steepness for the layer."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from normcore.annotations import Float
from normcore.layers.layer import Gradients


class Cache(NamedTuple):
    """What backward needs: x and out, of the same shape."""

    x: Tensor
    out: Tensor


@dataclass(frozen=True)
class DynamicTanh:
    """Squash each element by a tanh of learned steepness.

    Forward:  out = tanh(alpha · x).
    Backward: dx = alpha · slope; dalpha = Σ slope · x, with slope = dout · (1 − out²).

    Args:
        alpha: The steepness, a scalar; 0.5 at the start in the source.

    Shapes: x, out, dout and dx have the same shape, which is any.
    Source: Zhu, Chen, He, LeCun, Liu 2025, arXiv:2503.10622; its scale and shift are Affine's.
    """

    alpha: Tensor

    def forward(self, x: Float[Tensor, "*shape"]) -> tuple[Float[Tensor, "*shape"], Cache]:
        """Return the output and the cache for backward."""
        out = torch.tanh(self.alpha * x)
        return out, Cache(x, out)

    def backward(self, dout: Float[Tensor, "*shape"], cache: Cache) -> tuple[Float[Tensor, "*shape"], Gradients]:
        """Return dx and {"alpha": dalpha}, of alpha's shape."""
        x, out = cache
        slope = dout * (1 - out * out)
        return self.alpha * slope, {"alpha": (slope * x).sum_to_size(self.alpha.shape)}

    def parameters(self) -> dict[str, Tensor]:
        """Return the steepness, a scalar."""
        return {"alpha": self.alpha}
