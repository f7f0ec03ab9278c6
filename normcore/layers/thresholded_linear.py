"""The thresholded linear unit that filter response normalization ends in: a ReLU whose corner is learned."""

from dataclasses import dataclass

import torch
from torch import Tensor

from normcore.layers.layer import Gradients

EVERY_MAP = (0, 2, 3)  # the axes N, H, W of an N C H W tensor


@dataclass(frozen=True)
class ThresholdedLinear:
    """out = max(x, tau), a tau a channel. Backward: dx = dout where x > tau, else 0; dtau = Σ dout where it is not.

    Shapes: x, out, dout, dx are N C H W, tau is 1 C 1 1. Source: Singh, Krishnan 2019, arXiv:1911.09737.
    """

    tau: Tensor

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The output, and where it is x for backward."""
        above = x > self.tau
        return torch.where(above, x, self.tau), above

    def infer(self, x: Tensor) -> Tensor:
        """As forward."""
        return torch.maximum(x, self.tau)

    def backward(self, dout: Tensor, cache: Tensor) -> tuple[Tensor, Gradients]:
        """dx, and {"tau": dtau}, 1 C 1 1."""
        dx = torch.where(cache, dout, 0.0)
        return dx, {"tau": (dout - dx).sum(EVERY_MAP, keepdim=True)}

    def parameters(self) -> dict[str, Tensor]:
        """The thresholds, 1 C 1 1."""
        return {"tau": self.tau}

    def buffers(self) -> dict[str, Tensor]:
        """None."""
        return {}
