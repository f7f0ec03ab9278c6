"""Range normalization: every channel brought to 0 … 1 between its least and greatest value in the batch."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from normcore.layers.layer import Gradients

BATCH = (0, 2, 3)  # the axes N, H, W of an N C H W tensor


class Cache(NamedTuple):
    """out: as forward returned it, N C H W; lowest, highest: where x is its channel's extreme; rrange: 1 C 1 1."""

    out: Tensor
    lowest: Tensor
    highest: Tensor
    rrange: Tensor


@dataclass(frozen=True)
class RangeNorm:
    """out = (x − min) · rrange, rrange = 1/(max − min + eps), extremes over N, H, W; running ones at test time.

    Backward: dx = rrange · dout, and besides rrange · Σ dout · (out − 1) at the minimum and −rrange · Σ dout · out at
    the maximum, sums over N, H, W; values that tie for an extreme share its part evenly, as autograd's amin and amax
    have it.
    Running extremes: running ← momentum · running + (1 − momentum) · batch's.

    Shapes: x, out, dout, dx are N C H W; low and high 1 C 1 1. Source: min–max feature scaling; Banner et al. 2018,
    arXiv:1805.11046, divide by the range of a channel likewise.
    """

    low: Tensor
    high: Tensor
    momentum: float = 0.9
    eps: float = 1e-8

    def forward(self, x: Tensor) -> tuple[Tensor, Cache]:
        """The output, and what backward needs. Moves the running extremes."""
        low, high = torch.aminmax(x.transpose(0, 1).flatten(1), dim=1)
        low, high = low.view(1, -1, 1, 1), high.view(1, -1, 1, 1)
        self.low.lerp_(low, 1 - self.momentum)
        self.high.lerp_(high, 1 - self.momentum)
        rrange = 1 / (high - low + self.eps)
        out = (x - low) * rrange
        return out, Cache(out, x == low, x == high, rrange)

    def infer(self, x: Tensor) -> Tensor:
        """By the running extremes; values beyond them fall outside 0 … 1."""
        return (x - self.low) / (self.high - self.low + self.eps)

    def backward(self, dout: Tensor, cache: Cache) -> tuple[Tensor, Gradients]:
        """dx, and no parameter's gradient."""
        out, lowest, highest, rrange = cache
        to_high = -(dout * out).sum(BATCH, keepdim=True)
        to_low = -to_high - dout.sum(BATCH, keepdim=True)
        shares = lowest * (to_low / lowest.sum(BATCH, keepdim=True))
        shares += highest * (to_high / highest.sum(BATCH, keepdim=True))
        return rrange * (dout + shares), {}

    def parameters(self) -> dict[str, Tensor]:
        """None: no scale or shift is learned."""
        return {}

    def buffers(self) -> dict[str, Tensor]:
        """The running extremes, 1 C 1 1."""
        return {"running_low": self.low, "running_high": self.high}
