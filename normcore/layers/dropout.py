"""Dropout whose masks are a function of a seed and a count, so that they are the same on every device and again."""

from dataclasses import dataclass

import torch
from torch import Tensor

from normcore.layers.layer import Gradients

WORD = 0xFFFFFFFF  # 32 bits, held in int64 so that products do not overflow into the sign


@dataclass(frozen=True)
class Dropout:
    """out = x · mask, mask = 1/(1 − rate) with probability 1 − rate, else 0; at test time x. Backward: dout · mask.

    calls: how many batches were masked so far, an int64 scalar on x's device; the mask of an element is drawn from a
    hash of seed, calls and the element's index.

    Shapes: all alike, any. Source: Srivastava et al. 2014, JMLR 15, in the inverted form.
    """

    rate: float
    seed: int
    calls: Tensor

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The output, and the mask for backward. Counts the call."""
        self.calls.add_(1)
        index = torch.arange(x.numel(), device=x.device)
        key = _mixed((self.calls * 0x9E3779B1 + self.seed) & WORD)
        kept = _mixed(index ^ key) >= round(self.rate * (WORD + 1))
        mask = kept.view(x.shape).to(x.dtype) / (1 - self.rate)
        return x * mask, mask

    def infer(self, x: Tensor) -> Tensor:
        """x as it is."""
        return x

    def backward(self, dout: Tensor, cache: Tensor) -> tuple[Tensor, Gradients]:
        """dx, and no parameter's gradient."""
        return dout * cache, {}

    def parameters(self) -> dict[str, Tensor]:
        """None."""
        return {}

    def buffers(self) -> dict[str, Tensor]:
        """The count of calls."""
        return {"calls": self.calls}


def _mixed(word: Tensor) -> Tensor:
    """Every bit of 32 depends on every one. Source: C. Wellons' lowbias32, 2018, nullprogram.com/blog/2018/07/31."""
    word = _times((word ^ (word >> 16)) & WORD, 0x7FEB352D)
    word = _times(word ^ (word >> 15), 0x846CA68B)
    return word ^ (word >> 16)


def _times(word: Tensor, factor: int) -> Tensor:
    """The product's lower 32 bits. In two halves: 32 bits times 32 bits would not fit int64's 63."""
    low, high = word & 0xFFFF, word >> 16
    return (low * factor + (((high * factor) & 0xFFFF) << 16)) & WORD
