"""The histogram of a tensor's values in bins that are their own leading bits.

A float32's bin is its sign, exponent and first five mantissa bits: log-linear, at most 1/32 of the value wide. Edges
never depend on the data, so no pass for minimum and maximum is needed, nothing is dropped, and any two histograms
compare bin by bin.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

MANTISSA_BITS = 5
SHIFT = 23 - MANTISSA_BITS
CODES = 1 << (1 + 8 + MANTISSA_BITS)


class Histogram(NamedTuple):
    """codes, counts: the bins that hold something, ascending by code (the leading bits, sign first), and how many.

    Zeros and what is not finite are in no bin but counted beside. minimum and maximum are over the finite values, +inf
    and −inf where there are none; so are total and total_of_squares, added up in float64.
    """

    codes: NDArray[np.uint16]
    counts: NDArray[np.int64]
    positive_zeros: int
    negative_zeros: int
    nans: int
    positive_infinities: int
    negative_infinities: int
    minimum: float
    maximum: float
    total: float
    total_of_squares: float


def bin_index(values: Tensor) -> Tensor:
    """Each float32's bin, 0…CODES−1, int32: 0 holds +0, CODES/2 holds −0 and the negative values follow it."""
    return (values.view(torch.int32) >> SHIFT) & (CODES - 1)
