"""The histogram of a tensor as it is stored and drawn: exact counts in bins that do not depend on the data.

The bin of a float32 is its leading bits (`normlab.store.histogram_bins`). So any two histograms can be compared bin by
bin, and any linear picture, quantile or fraction can be computed from a stored one. normcore counts the values; this
module does not.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from normlab.store.histogram_bins import MIN_BITS, BinLayout, Counts, Patterns, coarsened, layout_for
from normlab.store.packed_bins import pack, unpack

NEGATIVE = np.uint32(0x80000000)  # the patterns from here on are of negative values
COARSE = 0.25  # standard deviations: wider bins show as steps in a picture of 50 bins


@dataclass(frozen=True)  # without slots: a cached property needs the instance's dictionary
class Histogram:
    """Counts of one tensor's values.

    layout: which bins these are. patterns, counts: of each bin that is not empty the float32 bits of the edge nearer to
    zero, with the sign, and the count, ascending by pattern. Zeros and non-finite values are in no bin and have counts
    of their own. The other fields are exact, over the finite values with the zeros: how many there are, their extremes
    and their mean, None if there is none, and the sum of their squared deviations from the mean.
    """

    layout: BinLayout
    patterns: Patterns
    counts: Counts
    finite: int
    zeros: int
    nans: int
    positive_infinities: int
    negative_infinities: int
    minimum: float | None
    maximum: float | None
    mean: float | None
    squared_deviations: float

    @classmethod
    def compact(cls, patterns: Patterns, counts: Counts, mantissa_bits: int, **scalars: Any) -> "Histogram":
        """Return the histogram of counted bins, with as many of their mantissa bits as are stored.

        patterns, counts, mantissa_bits: the bins as they were counted. scalars: the other fields.
        """
        layout = BinLayout(0, MIN_BITS)
        if scalars["minimum"] is not None:
            layout = layout_for(counts, scalars["minimum"], scalars["maximum"], mantissa_bits)
        return cls(layout, *coarsened(patterns, counts, layout), **scalars)

    @classmethod
    def from_bytes(cls, packed: bytes, *scalars: Any) -> "Histogram":
        """Return the histogram of packed bins and of the other fields, in their order. Raises ValueError."""
        return cls(*unpack(packed), *scalars)

    def to_bytes(self) -> bytes:
        """Return the bins as they are stored."""
        return pack(self.layout, self.patterns, self.counts)

    @property
    def nonfinite(self) -> int:
        """The number of values that are NaN or infinite."""
        return self.nans + self.positive_infinities + self.negative_infinities

    @property
    def count(self) -> int:
        """The number of all values."""
        return self.finite + self.nonfinite

    @property
    def zero_fraction(self) -> float:
        """The exact fraction of zeros among all values, 0…1."""
        return self.zeros / self.count if self.count else 0.0

    @property
    def std(self) -> float | None:
        """The biased standard deviation of the finite values. None if there is none."""
        return math.sqrt(self.squared_deviations / self.finite) if self.finite else None

    @property
    def l2_norm(self) -> float:
        """The Euclidean norm of the finite values."""
        return l2_norm(self.finite, self.mean, self.squared_deviations)

    @cached_property
    def resolution(self) -> float | None:
        """The mean width of the bins, over the finite values, in standard deviations.

        Within a bin the shape of the distribution is unknown. 0 if all values are equal, None if there is none.
        """
        std = self.std
        if not std:
            return std
        low, high, counts = self._cut_bins
        return float(((high - low) * counts).sum()) / self.finite / std

    @property
    def resolution_is_coarse(self) -> bool:
        """Whether the bins are wider than COARSE standard deviations, so that a picture shows the bins' own steps."""
        return (self.resolution or 0.0) > COARSE

    def bins(self) -> tuple[NDArray[np.float64], NDArray[np.float64], Counts]:
        """Return the low edges, high edges and counts of the bins that are not empty, ascending by value.

        Zeros are not among them.
        """
        nearer, farther = self.layout.edges(self.patterns)
        positive = int(np.searchsorted(self.patterns, NEGATIVE))
        low = np.concatenate([-farther[positive:][::-1], nearer[:positive]])
        high = np.concatenate([-nearer[positive:][::-1], farther[:positive]])
        return low, high, np.concatenate([self.counts[positive:][::-1], self.counts[:positive]])

    def rebin(self, new_edges: ArrayLike, *, zeros: bool = True) -> NDArray[np.float64]:
        """Return the counts of the finite values between new edges: floats, of length B.

        Each stored bin's count is divided among the new bins in proportion to the length that overlaps. A stored bin is
        first cut to the exact minimum and maximum, so no count falls where no value was. As in numpy.histogram, the
        last bin includes its right edge, and values outside the edges are not counted.

        new_edges: ascending, of length B + 1. zeros: whether zeros are counted.
        """
        return np.maximum(np.diff(self.cumulative(new_edges, zeros=zeros)), 0.0)

    def cumulative(self, new_edges: ArrayLike, *, zeros: bool = True) -> NDArray[np.float64]:
        """Return how many finite values are below each new edge, those equal to the last edge included.

        Floats, of length B + 1: a stored bin that reaches across an edge is divided by length.
        """
        new_edges = np.asarray(new_edges, dtype=np.float64)
        below = _below(new_edges, *self._cut_bins)
        if zeros and self.zeros:
            below += self.zeros * (new_edges > 0)
            below[-1] += self.zeros * (new_edges[-1] == 0)
        return below

    def divided(self, new_edges: ArrayLike) -> int:
        """Return how many values `rebin` divides: those in stored bins that reach across a new edge.

        No more values than these can be in a wrong new bin.
        """
        new_edges = np.asarray(new_edges, dtype=np.float64)
        low, high, counts = self._cut_bins
        if not len(counts):
            return 0
        index = np.searchsorted(low, new_edges, side="left") - 1  # of the last bin that begins below each edge
        across = np.zeros(len(counts), dtype=bool)
        across[index[(index >= 0) & (high[index] > new_edges)]] = True
        return int(counts[across].sum())

    def quantile(self, q: float) -> float | None:
        """Return the value below which the fraction q of the finite values lies, to within its stored bin (3 %).

        None if no value is finite.
        """
        if not self.finite:
            return None
        low, high, counts = self.bins()
        negative = int(np.searchsorted(high, 0.0, side="right"))  # the zeros lie after the negative bins
        low, high = np.insert(low, negative, 0.0), np.insert(high, negative, 0.0)
        counts = np.insert(counts, negative, self.zeros)
        below = np.concatenate([[0], np.cumsum(counts)])
        target = q * self.finite
        index = min(int(np.searchsorted(below[1:], target)), len(counts) - 1)
        inside = (target - below[index]) / counts[index] if counts[index] else 0.0
        value = low[index] + inside * (high[index] - low[index])
        return float(np.clip(value, self.minimum, self.maximum))

    def fraction_above(self, threshold: float) -> float:
        """Return the fraction of all values whose magnitude exceeds the threshold (≥ 0), to within the threshold's bin.

        Infinite values exceed every threshold.
        """
        if not self.count:
            return 0.0
        low, high, counts = self.bins()
        negative, _, positive = np.diff(_below(np.array([-np.inf, -threshold, threshold, np.inf]), low, high, counts))
        return float((negative + positive + self.positive_infinities + self.negative_infinities) / self.count)

    @cached_property
    def _cut_bins(self) -> tuple[NDArray[np.float64], NDArray[np.float64], Counts]:
        """Return the bins, cut to the exact minimum and maximum."""
        low, high, counts = self.bins()
        if self.minimum is None or self.maximum is None:
            return low, high, counts
        return np.maximum(low, self.minimum), np.minimum(high, self.maximum), counts


def l2_norm(finite: int, mean: float | None, squared_deviations: float) -> float:
    """Return the Euclidean norm of values, of their number, their mean and the sum of their squared deviations."""
    return math.sqrt(finite * mean * mean + squared_deviations) if mean is not None else 0.0


SCALARS: Mapping[str, Any] = {  # the fields that are numbers, and their types
    field.name: field.type for field in fields(Histogram) if field.name not in ("layout", "patterns", "counts")
}


def _below(
    new_edges: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64], counts: Counts
) -> NDArray[np.float64]:
    """Return how much of the counts of the bins [low, high] lies below new edges, if each bin is filled evenly.

    A bin without a width holds equal values. They are below an edge that is greater, and below the last edge if they
    are equal to it.
    """
    if not len(counts):
        return np.zeros(len(new_edges))
    index = np.searchsorted(low, new_edges, side="left") - 1  # of the last bin that begins below each edge
    index[-1] = np.searchsorted(low, new_edges[-1], side="right") - 1
    before = np.cumsum(counts) - counts
    width = (high - low)[index]
    inside = np.clip((new_edges - low[index]) / np.where(width > 0, width, 1.0), 0.0, 1.0)
    inside[width == 0] = 1.0
    return np.where(index >= 0, before[index] + counts[index] * inside, 0.0)
