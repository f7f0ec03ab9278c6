"""The rectified linear unit."""

from dataclasses import dataclass

import torch
from torch import Tensor

from normcore.layers.layer import Gradients


@dataclass(frozen=True)
class ReLU:
    """out = max(x, 0). Backward: dx = dout where out > 0, else 0; the derivative at 0 is taken as 0.

    Shapes: all N C H W. A NaN passes through, forward and backward. Source: Nair, Hinton 2010.
    """

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The output, which is also the cache: its sign is all that backward needs."""
        out = torch.relu(x)
        return out, out

    def infer(self, x: Tensor) -> Tensor:
        """As forward."""
        return torch.relu(x)

    def backward(self, dout: Tensor, cache: Tensor) -> tuple[Tensor, Gradients]:
        """dx, and no parameter's gradient."""
        return torch.ops.aten.threshold_backward(dout, cache, 0), {}

    def recompute_output(self, cache: Tensor) -> Tensor:
        """The output of forward."""
        return cache

    def parameters(self) -> dict[str, Tensor]:
        """None."""
        return {}

    def buffers(self) -> dict[str, Tensor]:
        """None."""
        return {}
