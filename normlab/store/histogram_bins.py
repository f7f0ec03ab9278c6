"""The bins of a stored histogram: the leading bits of its values, more of them near the largest magnitude.

An octave is the values of one sign and exponent. A bin of an octave is the values with the same first mantissa bits. In
the octave of the largest magnitude the bins tell apart `top_bits` bits, and in each octave below it one bit less, down
to MIN_BITS. So the bins that a linear picture shows are all of one width, and the bins below them are at most 1/32 of
their value wide. Pairs of neighbours are the bins of one bit less, so any two histograms can be brought to the same
bins by sums.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

MIN_BITS, MAX_BITS = 5, 23  # of the mantissa; a float32 has 23
MAGNITUDE = np.uint32(0x7FFFFFFF)  # every bit but the sign
PICTURE_BINS = 4_096  # that the range of many values is divided into at least: 82 for each of a picture's 50
FEW_VALUES = 256  # or fewer keep all their bits
FEW_VALUES_PRODUCT = 1 << 28  # of the number of bins and the number of values to the power of 3/2

Patterns = NDArray[np.uint32]
Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class BinLayout:
    """How many mantissa bits the bins of each octave tell apart.

    top_exponent: the exponent field of the largest magnitude, 0…254. top_bits: the mantissa bits in that octave, 5…23.
    """

    top_exponent: int
    top_bits: int

    def edges(self, patterns: Patterns) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the magnitudes of the bins' edges: of those nearer to zero and of the farther ones.

        patterns: the bits of the edges nearer to zero, with the sign.
        """
        nearer = (patterns & MAGNITUDE).view(np.float32).astype(np.float64)
        return nearer, nearer + _widths(self)[patterns >> 23]


@lru_cache(maxsize=256)
def dropped_bits(layout: BinLayout) -> NDArray[np.uint32]:
    """Return how many of a float32's bits the bins do not tell apart, for each of the 512 octaves.

    An octave's index is the sign and the exponent field.
    """
    bits = np.clip(layout.top_bits - layout.top_exponent + np.arange(256), MIN_BITS, layout.top_bits)
    dropped = np.tile(MAX_BITS - bits, 2).astype(np.uint32)
    dropped.setflags(write=False)
    return dropped


@lru_cache(maxsize=256)
def _widths(layout: BinLayout) -> NDArray[np.float64]:
    """Return the width of the bins of each of the 512 octaves."""
    spacing = 2.0 ** (np.maximum(np.arange(256), 1) - 150)  # of the float32 values of each exponent field
    widths: NDArray[np.float64] = np.tile(spacing, 2) * 2.0 ** dropped_bits(layout)
    return widths


def layout_for(counts: Counts, minimum: float, maximum: float, mantissa_bits: int) -> BinLayout:
    """Return the layout in which a linear picture of these values is right to about 1 %.

    Values that lie in a bin with a picture's edge in it are divided by length. Of many values each side gets its part,
    of few values the parts are a guess, so few values need finer bins. counts: of the bins that are not empty.
    minimum, maximum: of the finite values. mantissa_bits: those that the counted bins tell apart.
    """
    largest = np.float32(max(abs(minimum), abs(maximum)))
    top_exponent = int(largest.view(np.uint32) >> 23)
    values = int(counts.sum())
    if values <= FEW_VALUES or minimum == maximum:
        return BinLayout(top_exponent, mantissa_bits)
    width = (maximum - minimum) / max(PICTURE_BINS, FEW_VALUES_PRODUCT / values**1.5)
    bits = math.ceil(max(top_exponent, 1) - 127 - math.log2(width))  # the octave begins at 2^(top_exponent − 127)
    return BinLayout(top_exponent, min(max(bits, MIN_BITS), mantissa_bits))


def coarsened(patterns: Patterns, counts: Counts, layout: BinLayout) -> tuple[Patterns, Counts]:
    """Return the patterns and counts of the layout's bins. The given bins must be as fine or finer."""
    dropped = dropped_bits(layout)[patterns >> 23]
    patterns = patterns >> dropped << dropped
    if not len(patterns):
        return patterns, counts
    starts = np.flatnonzero(np.concatenate([[True], patterns[1:] != patterns[:-1]]))
    return patterns[starts], np.add.reduceat(counts, starts)
