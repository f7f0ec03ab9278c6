"""Standardization over given axes: the arithmetic that batch, layer, instance and group normalization share.

They differ in the axes and in what they do at test time.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Cache(NamedTuple):
    """What backward needs.

    x is the input, which the layer before keeps anyway. mean and rstd = (var + eps)^-½ have length 1 along the axes.
    """

    x: Tensor
    mean: Tensor
    rstd: Tensor

    def out(self) -> Tensor:
        """Return the output of standardize, bit for bit: computing it again costs less than keeping it."""
        return (self.x - self.mean) * self.rstd


class Moments(NamedTuple):
    """Mean and biased variance, of length 1 along the axes."""

    mean: Tensor
    var: Tensor


def standardize(x: Tensor, axes: tuple[int, ...], eps: float) -> tuple[Tensor, Cache, Moments]:
    """Return out = (x − mean) · rstd, rstd = (var + eps)^-½, with mean and biased variance over the axes.

    Also return the cache for standardize_backward, and the moments. Where the variance overflows, out is NaN.
    """
    var, mean = torch.var_mean(x, axes, correction=0, keepdim=True)
    cache = Cache(x, mean, reciprocal_root(var + eps))
    return cache.out(), cache, Moments(mean, var)


def reciprocal_root(squares: Tensor) -> Tensor:
    """Return squares^-½, and NaN where the squares have overflowed.

    The root of an infinity would be 0, and with it an output that looks like that of an input without any variance. A
    NaN ends the training with a message that names the layer. float32's squares overflow from 1.8e19 on.
    """
    return torch.where(torch.isinf(squares), torch.nan, torch.rsqrt(squares))


def standardize_backward(dout: Tensor, cache: Cache, axes: tuple[int, ...]) -> Tensor:
    """Return dx = rstd · (dout − mean(dout) − out · mean(dout · out)), means over the axes.

    These are the three terms of the chain rule, through x, the mean and the variance. Writing out for (x − mean) · rstd
    leaves two means instead of four. Source: Ioffe, Szegedy 2015, arXiv:1502.03167, section 3, simplified.
    """
    out = cache.out()
    mean_dout = dout.mean(axes, keepdim=True)
    mean_dout_out = (dout * out).mean(axes, keepdim=True)
    return cache.rstd * (dout - mean_dout - out * mean_dout_out)
