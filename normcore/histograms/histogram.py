"""The histogram of a tensor's values, whose bins are the values' own leading bits.

A float32's bin is its sign, exponent and first five mantissa bits: the bins are log-linear, each at most 1/32 of the
value wide. The edges never depend on the data. So the minimum and maximum need no pass of their own, no value is
dropped, and any two histograms compare bin by bin.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

MANTISSA_BITS = 5
SHIFT = 23 - MANTISSA_BITS
BIN_COUNT = 1 << (1 + 8 + MANTISSA_BITS)


class Histogram(NamedTuple):
    """The number of values in each bin, and what no bin holds.

    bin_index, counts: the index and the count of each bin that is not empty, ascending by index. Zeros and values that
    are not finite are in no bin and have counts of their own. minimum and maximum are those of the finite values, +inf
    and −inf if there are none. total and total_of_squares are sums of the finite values in float64.
    """

    bin_index: NDArray[np.uint16]
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
    """Return each float32's bin, int32, from 0 to BIN_COUNT − 1.

    Bin 0 holds +0, and bin BIN_COUNT/2 holds −0. The bins of negative values follow it.
    """
    return (values.view(torch.int32) >> SHIFT) & (BIN_COUNT - 1)
