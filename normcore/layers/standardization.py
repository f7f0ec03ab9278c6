"""Subtracting the mean and dividing by the standard deviation over given axes: what batch, layer and instance
normalization have in common. They differ in the axes and in what they do at test time.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Cache(NamedTuple):
    """x: as it came in, which the layer before keeps anyway.

    mean and rstd = (var + eps)^-½ are of length 1 along the axes.
    """

    x: Tensor
    mean: Tensor
    rstd: Tensor

    def out(self) -> Tensor:
        """As standardize returned it, to the bit: cheaper to make again than to keep."""
        return (self.x - self.mean) * self.rstd


class Moments(NamedTuple):
    """Mean and biased variance, of length 1 along the axes."""

    mean: Tensor
    var: Tensor


def standardize(x: Tensor, axes: tuple[int, ...], eps: float) -> tuple[Tensor, Cache, Moments]:
    """out = (x − mean) · rstd, with rstd = (var + eps)^-½, mean and biased variance taken over the axes."""
    var, mean = torch.var_mean(x, axes, correction=0, keepdim=True)
    cache = Cache(x, mean, torch.rsqrt(var + eps))
    return cache.out(), cache, Moments(mean, var)


def standardize_backward(dout: Tensor, cache: Cache, axes: tuple[int, ...]) -> Tensor:
    """dx = rstd · (dout − mean(dout) − out · mean(dout · out)), means over the axes.

    The three terms of the chain rule (through x, the mean and the variance) with out put back for (x − mean) · rstd,
    which needs two means instead of four. Source: Ioffe, Szegedy 2015, arXiv:1502.03167, section 3, simplified.
    """
    out = cache.out()
    shift = dout.mean(axes, keepdim=True)
    slope = (dout * out).mean(axes, keepdim=True)
    return cache.rstd * (dout - shift - out * slope)
