"""The histogram of a tensor's values, whose bins are the values' own leading bits.

A float32's bin is its sign, its exponent and its first mantissa bits: the bins are log-linear. The edges never depend
on the data. So the minimum and maximum need no pass of their own, no value is dropped, and any two histograms compare
bin by bin: two neighbours that differ in the last bit alone are one bin of half the resolution.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

MANTISSA_BITS = 10  # of the kernels
MIN_BITS = 5  # of every bin: it is at most 1/32 of its value wide
SHIFT = 23 - MANTISSA_BITS
BIN_COUNT = 1 << (1 + 8 + MANTISSA_BITS)


class Histogram(NamedTuple):
    """The number of values in each bin, and what no bin holds.

    mantissa_bits: how many leading bits of the mantissa the bins tell apart in the octave (the values of one exponent)
    of the largest magnitude. In each octave below it they may be one bit less, but not less than MIN_BITS. bin_index,
    counts: the index and the count of each bin that is not empty, ascending by index. The index is the leading bits of
    the bin's edge nearer to zero: the sign, the exponent and mantissa_bits of the mantissa. Zeros and values that are
    not finite are in no bin and have counts of their own. The rest is of the finite values, in float64: minimum and
    maximum are +inf and −inf if there are none. mean is their mean and squared_deviations the sum of their squared
    deviations from it, 0 if there are none.
    """

    mantissa_bits: int
    bin_index: NDArray[np.uint32]
    counts: NDArray[np.int64]
    positive_zeros: int
    negative_zeros: int
    nans: int
    positive_infinities: int
    negative_infinities: int
    minimum: float
    maximum: float
    mean: float
    squared_deviations: float

    @property
    def finite(self) -> int:
        """The number of finite values, with the zeros."""
        return int(self.counts.sum()) + self.positive_zeros + self.negative_zeros


def bin_index(values: Tensor) -> Tensor:
    """Return each float32's bin of the kernels, int32, from 0 to BIN_COUNT − 1.

    Bin 0 holds +0, and bin BIN_COUNT/2 holds −0. The bins of negative values follow it.
    """
    return (values.view(torch.int32) >> SHIFT) & (BIN_COUNT - 1)
