"""Range normalization: each channel mapped to 0 … 1 between its minimum and maximum in the batch."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from normcore.annotations import Float
from normcore.layers.layer import Gradients

CHANNEL = (-4, -2, -1)  # the axes N, H, W: all values of one channel


class Cache(NamedTuple):
    """What backward needs.

    out is the output, N C H W. lowest and highest, N C H W, are true where x is its channel's minimum or maximum.
    rrange is 1 C 1 1.
    """

    out: Tensor
    lowest: Tensor
    highest: Tensor
    rrange: Tensor


@dataclass(frozen=True)
class RangeNorm:
    """Map each channel to 0 … 1 by its extremes over the batch and the positions.

    Forward:  out = (x − min) · rrange, rrange = 1/(max − min + eps), extremes over N, H, W.
    Backward: dx = rrange · dout; the minimum also receives rrange · Σ dout · (out − 1), and the maximum
    −rrange · Σ dout · out, sums over N, H, W. Values that tie for an extreme share its part equally, as in autograd's
    amin and amax.
    At test time: FixedRange by the running extremes, running ← momentum · running + (1 − momentum) · batch's.

    Args:
        low: The running minimum, 1 C 1 1. Each forward pass updates it.
        high: The running maximum, 1 C 1 1. Each forward pass updates it.
        momentum: The fraction of the old running extremes that each update keeps.
        eps: Added to the range for numerical stability.

    Shapes: x, out, dout and dx are N C H W.
    Source: min–max feature scaling; Banner, Hubara, Hoffer, Soudry 2018, arXiv:1805.11046, also divide by a channel's
    range.
    """

    low: Tensor
    high: Tensor
    momentum: float = 0.9
    eps: float = 1e-8

    def forward(self, x: Float[Tensor, "*S N C H W"]) -> tuple[Float[Tensor, "*S N C H W"], Cache]:
        """Return the output and the cache for backward. Updates the running extremes."""
        # aminmax reads the values once, but takes one axis: N, H and W are made one axis before.
        low, high = torch.aminmax(x.transpose(-4, -3).flatten(-3), dim=-1)
        low, high = low[..., None, :, None, None], high[..., None, :, None, None]
        self.low.lerp_(low, 1 - self.momentum)
        self.high.lerp_(high, 1 - self.momentum)
        size = high - low + self.eps
        # The reciprocal of a range that has overflowed would be 0, as if every value were the minimum.
        rrange = torch.where(torch.isinf(size), torch.nan, 1 / size)
        out = (x - low) * rrange
        return out, Cache(out, x == low, x == high, rrange)

    def backward(
        self, dout: Float[Tensor, "*S N C H W"], cache: Cache
    ) -> tuple[Float[Tensor, "*S N C H W"], Gradients]:
        """Return dx and no parameter gradients."""
        out, lowest, highest, rrange = cache
        to_high = -(dout * out).sum(CHANNEL, keepdim=True)
        to_low = -to_high - dout.sum(CHANNEL, keepdim=True)
        extremes_gradient = lowest * (to_low / lowest.sum(CHANNEL, keepdim=True))
        extremes_gradient += highest * (to_high / highest.sum(CHANNEL, keepdim=True))
        return rrange * (dout + extremes_gradient), {}

    def for_inference(self) -> "FixedRange":
        """Return the normalization by the running extremes."""
        return FixedRange(self.low, self.high, self.eps)

    def buffers(self) -> dict[str, Tensor]:
        """Return the running extremes, each 1 C 1 1."""
        return {"running_low": self.low, "running_high": self.high}


@dataclass(frozen=True)
class FixedRange:
    """Range normalization at test time: by running extremes, which it shares with the layer of training.

    Forward:  out = (x − low) / (high − low + eps). Values beyond the extremes fall outside 0 … 1.
    Backward: dx = dout / (high − low + eps): low and high are constants.

    Args:
        low: The running minimum, 1 C 1 1; read and never updated.
        high: The running maximum, 1 C 1 1; read and never updated.
        eps: Added to the range for numerical stability.

    Shapes: x, out, dout and dx are N C H W.
    """

    low: Tensor
    high: Tensor
    eps: float

    def forward(self, x: Float[Tensor, "*S N C H W"]) -> tuple[Float[Tensor, "*S N C H W"], Tensor]:
        """Return the output, and the range, 1 C 1 1, as the cache."""
        size = self.high - self.low + self.eps
        return (x - self.low) / size, size

    def backward(
        self, dout: Float[Tensor, "*S N C H W"], cache: Tensor
    ) -> tuple[Float[Tensor, "*S N C H W"], Gradients]:
        """Return dx and no parameter gradients."""
        return dout / cache, {}

    def buffers(self) -> dict[str, Tensor]:
        """Return the running extremes, each 1 C 1 1."""
        return {"running_low": self.low, "running_high": self.high}
