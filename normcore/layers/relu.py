"""The rectified linear unit."""

from dataclasses import dataclass

import torch
from torch import Tensor

from normcore.annotations import Float
from normcore.layers.layer import Gradients


@dataclass(frozen=True)
class ReLU:
    """Replace negative values by 0.

    Forward:  out = max(x, 0).
    Backward: dx = dout where out > 0, else 0; the derivative at 0 is taken as 0.

    A NaN passes through, forward and backward.

    Shapes: x, out, dout and dx have the same shape, which is any.
    Source: Nair, Hinton 2010, ICML.
    """

    def forward(self, x: Float[Tensor, "*shape"]) -> tuple[Float[Tensor, "*shape"], Tensor]:
        """Return the output, which is also the cache: its sign is all that backward needs."""
        out = torch.relu(x)
        return out, out

    def backward(self, dout: Float[Tensor, "*shape"], cache: Tensor) -> tuple[Float[Tensor, "*shape"], Gradients]:
        """Return dx and no parameter gradients."""
        return torch.ops.aten.threshold_backward(dout, cache, 0), {}

    def recompute_output(self, cache: Tensor) -> Tensor:
        """Return the output of forward."""
        return cache
