"""Dropout. Its masks are a function of a seed and a count, so they are the same on every device and when resumed."""

from dataclasses import dataclass

import torch
from torch import Tensor

from normcore.annotations import Float
from normcore.layers.layer import Gradients

WORD = 0xFFFFFFFF  # 32 bits, held in int64 so that products do not overflow into the sign


@dataclass(frozen=True)
class Dropout:
    """Set random elements to 0, and scale the others so that the mean is kept.

    Forward:  out = x · mask, mask = 1/(1 − rate) with probability 1 − rate, else 0.
    Backward: dx = dout · mask.
    At test time: Identity.

    The mask of an element is drawn from a hash of seed, calls and the element's index in the whole tensor. An axis in
    front of the batch would therefore draw other masks than separate calls do; it needs a seed for each of its entries.

    Args:
        rate: The probability that an element is set to 0; in 0 ≤ rate < 1.
        seed: An integer of 0 or more. Layers with different seeds draw independent masks.
        calls: How many batches were masked so far: an int64 scalar on x's device. Each forward pass adds 1.

    Shapes: x, out, dout and dx have the same shape, which is any.
    Source: Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov 2014, JMLR 15, in the inverted form.
    """

    rate: float
    seed: int
    calls: Tensor

    def forward(self, x: Float[Tensor, "*shape"]) -> tuple[Float[Tensor, "*shape"], Tensor]:
        """Return the output, and the mask as the cache. Counts the call."""
        self.calls.add_(1)
        index = torch.arange(x.numel(), device=x.device)
        key = _mixed((self.calls * 0x9E3779B1 + self.seed) & WORD)
        kept = _mixed(index ^ key) >= round(self.rate * (WORD + 1))
        mask = kept.view(x.shape).to(x.dtype) / (1 - self.rate)
        return x * mask, mask

    def backward(self, dout: Float[Tensor, "*shape"], cache: Tensor) -> tuple[Float[Tensor, "*shape"], Gradients]:
        """Return dx and no parameter gradients."""
        return dout * cache, {}

    def for_inference(self) -> "Identity":
        """Return the layer that drops nothing."""
        return Identity()

    def buffers(self) -> dict[str, Tensor]:
        """Return the count of calls."""
        return {"calls": self.calls}


@dataclass(frozen=True)
class Identity:
    """Leave x as it is: dropout at test time.

    Forward:  out = x.
    Backward: dx = dout.

    Shapes: x, out, dout and dx have the same shape, which is any.
    """

    def forward(self, x: Float[Tensor, "*shape"]) -> tuple[Float[Tensor, "*shape"], None]:
        """Return x; backward needs no cache."""
        return x, None

    def backward(self, dout: Float[Tensor, "*shape"], cache: None) -> tuple[Float[Tensor, "*shape"], Gradients]:
        """Return dx and no parameter gradients."""
        return dout, {}


def _mixed(word: Tensor) -> Tensor:
    """Return a hash of 32 bits, each of which depends on all 32 bits of the word.

    Source: C. Wellons' lowbias32, 2018, nullprogram.com/blog/2018/07/31.
    """
    word = _times((word ^ (word >> 16)) & WORD, 0x7FEB352D)
    word = _times(word ^ (word >> 15), 0x846CA68B)
    return word ^ (word >> 16)


def _times(word: Tensor, factor: int) -> Tensor:
    """Return the lower 32 bits of a product, from two halves: 32 times 32 bits do not fit the 63 of int64."""
    low, high = word & 0xFFFF, word >> 16
    return (low * factor + (((high * factor) & 0xFFFF) << 16)) & WORD
