"""The part of a device's table of counts that is copied to the host: all octaves, and finer bins of the largest ones.

A whole table has 2 MiB. An octave is the values of one sign and exponent. The octave of the largest magnitude keeps its
bins, each octave below it gives its bins one bit less, and the others have MIN_BITS: 72 KiB in all.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from normcore.histograms.histogram import BIN_COUNT, MANTISSA_BITS, MIN_BITS

FINE_OCTAVES = MANTISSA_BITS - MIN_BITS  # of each sign
COARSE_BINS = BIN_COUNT >> FINE_OCTAVES


def compact(table: Tensor, extremes: Tensor) -> Tensor:
    """Return the coarse counts of all octaves and then the finer ones of the largest, int32 of one axis.

    table: the counts of the kernels' bins, BIN_COUNT int32. extremes: the minimum and the maximum, 2 float32. Does not
    wait for the device.
    """
    octaves = table.view(2, 256, 1 << MANTISSA_BITS)
    top = extremes.abs().amax().view(1).view(torch.int32) >> 23
    parts = [table.view(COARSE_BINS, -1).sum(1, dtype=torch.int32)]
    for below in range(FINE_OCTAVES):
        fine = octaves.index_select(1, (top - below).clamp(min=0))
        parts.append(fine.view(-1, 1 << below).sum(1, dtype=torch.int32))
    return torch.cat(parts)


def expand(compacted: NDArray[np.int32], extremes: NDArray[np.float32]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Return the indices and the counts of the bins that are not empty, ascending, of compacted counts on the host."""
    coarse = compacted[:COARSE_BINS].reshape(2, 256, -1).copy()
    top = int(np.abs(extremes).max().view(np.uint32)) >> 23
    indices, counts, begin = [], [], COARSE_BINS
    for below in range(FINE_OCTAVES):
        bins = 1 << (MANTISSA_BITS - below)
        fine, begin = compacted[begin : begin + 2 * bins].reshape(2, bins), begin + 2 * bins
        if top - below < 0:
            break  # below the octave of the smallest values there is none
        coarse[:, top - below] = 0
        sign, place = fine.nonzero()
        indices.append(((sign << 8 | top - below) << MANTISSA_BITS) + (place << below))
        counts.append(fine[sign, place])
    used = np.flatnonzero(coarse)
    index = np.concatenate([used << FINE_OCTAVES, *indices])
    order = np.argsort(index)
    return index[order].astype(np.uint32), np.concatenate([coarse.ravel()[used], *counts])[order].astype(np.int64)
