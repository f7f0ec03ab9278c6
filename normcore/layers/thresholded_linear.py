"""The thresholded linear unit, which follows filter response normalization: a ReLU with a learned threshold."""

from dataclasses import dataclass

import torch
from torch import Tensor

from normcore.annotations import Bool, Float
from normcore.layers.layer import Gradients

CHANNEL = (-4, -2, -1)  # the axes N, H, W: all values of one channel


@dataclass(frozen=True)
class ThresholdedLinear:
    """Replace values below a learned threshold by the threshold.

    Forward:  out = max(x, tau).
    Backward: dx = dout where x > tau, else 0; dtau = Σ dout where x ≤ tau, over N, H, W.

    A NaN passes through, forward and backward.

    Args:
        tau: The threshold of each channel, 1 C 1 1.

    Shapes: x, out, dout and dx are N C H W.
    Source: Singh, Krishnan 2019, arXiv:1911.09737.
    """

    tau: Tensor

    def forward(self, x: Float[Tensor, "*S N C H W"]) -> tuple[Float[Tensor, "*S N C H W"], Tensor]:
        """Return the output, and as the cache where x is at most the threshold, N C H W."""
        at_most = x <= self.tau  # false for a NaN
        return torch.where(at_most, self.tau, x), at_most

    def backward(
        self, dout: Float[Tensor, "*S N C H W"], cache: Bool[Tensor, "*S N C H W"]
    ) -> tuple[Float[Tensor, "*S N C H W"], Gradients]:
        """Return dx and {"tau": dtau}, 1 C 1 1."""
        dx = torch.where(cache, 0.0, dout)
        return dx, {"tau": (dout - dx).sum(CHANNEL, keepdim=True)}

    def parameters(self) -> dict[str, Tensor]:
        """Return the thresholds, 1 C 1 1."""
        return {"tau": self.tau}
