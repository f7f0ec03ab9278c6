"""Counting a tensor's values in bins that are their own leading bits.

A float32's bin is its sign, exponent and first five mantissa bits: log-linear, at most 1/32 of the value wide. Edges
never depend on the data, so no pass for minimum and maximum is needed, nothing is dropped, and any two histograms
compare bin by bin.
"""

from typing import NamedTuple

import torch
from torch import Tensor

MANTISSA_BITS = 5
SHIFT = 23 - MANTISSA_BITS
CODES = 1 << (1 + 8 + MANTISSA_BITS)


class Histogram(NamedTuple):
    """counts: CODES int64, by code (the leading bits, sign first), of everything, zeros and non-finite included.

    positive_zeros, negative_zeros, nans, positive_infinities, negative_infinities: int64 scalars. minimum, maximum:
    float32 scalars over the finite values, +inf and −inf where there are none. total,
    total_of_squares: float64 scalars over the finite values.
    """

    counts: Tensor
    positive_zeros: Tensor
    negative_zeros: Tensor
    nans: Tensor
    positive_infinities: Tensor
    negative_infinities: Tensor
    minimum: Tensor
    maximum: Tensor
    total: Tensor
    total_of_squares: Tensor


def histogram(x: Tensor) -> Histogram:
    """Count the values of x, any shape; other precisions are rounded to float32 first. On x's device, but for MPS."""
    values = x.detach().to(torch.float32).flatten()
    if values.device.type == "mps":
        values = values.cpu()  # Apple's GPUs have no float64, which exact totals need
    finite = values.isfinite()
    zero, negative = values == 0, values.signbit()
    exact = torch.where(finite, values, 0.0).to(torch.float64)
    return Histogram(
        counts=torch.bincount(codes(values), minlength=CODES),
        positive_zeros=(zero & ~negative).sum(),
        negative_zeros=(zero & negative).sum(),
        nans=values.isnan().sum(),
        positive_infinities=values.isposinf().sum(),
        negative_infinities=values.isneginf().sum(),
        minimum=_least(torch.where(finite, values, torch.inf)),
        maximum=-_least(torch.where(finite, -values, torch.inf)),
        total=exact.sum(),
        total_of_squares=(exact * exact).sum(),
    )


def codes(values: Tensor) -> Tensor:
    """Each float32's bin, 0…CODES−1, int32: 0 holds +0, CODES/2 holds −0 and the negative values follow it."""
    return (values.view(torch.int32) >> SHIFT) & (CODES - 1)


def _least(values: Tensor) -> Tensor:
    """The minimum, +inf of nothing at all."""
    return values.min() if values.numel() else values.new_tensor(torch.inf)
