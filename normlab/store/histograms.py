"""The histogram of a tensor as it is stored and drawn: exact counts in bins that do not depend on the data.

The bin of a float32 is its leading bits: the sign, the exponent and the first five bits of the mantissa. So the bins
are log-linear, each at most 1/32 of its value wide. Any two histograms can be compared bin by bin, and any linear
picture, quantile or fraction can be computed from a stored one. normcore counts the values; this module does not.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

MANTISSA_BITS = 5
SHIFT = 23 - MANTISSA_BITS
HALF = 1 << (8 + MANTISSA_BITS)  # the bins below HALF are of positive floats, the others of negative ones


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of one tensor's values.

    bin_index, counts: the index and the count of each bin that is not empty, ascending by index. Zeros and non-finite
    values are in no bin and have counts of their own. minimum, maximum, total and total_of_squares are exact, over the
    finite values with the zeros. minimum and maximum are None if no value is finite.
    """

    bin_index: NDArray[np.uint16]
    counts: NDArray[np.int64]
    zeros: int
    nans: int
    positive_infinities: int
    negative_infinities: int
    minimum: float | None
    maximum: float | None
    total: float
    total_of_squares: float

    @property
    def finite(self) -> int:
        """The number of finite values, with the zeros."""
        return int(self.counts.sum()) + self.zeros

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
    def mean(self) -> float | None:
        """The mean of the finite values. None if there is none."""
        return self.total / self.finite if self.finite else None

    @property
    def std(self) -> float | None:
        """The biased standard deviation of the finite values. None if there is none."""
        if not self.finite:
            return None
        mean = self.total / self.finite
        return float(np.sqrt(max(self.total_of_squares / self.finite - mean * mean, 0.0)))

    @property
    def l2_norm(self) -> float:
        """The Euclidean norm of the finite values."""
        return float(np.sqrt(self.total_of_squares))

    def bins(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
        """Return the low edges, high edges and counts of the bins that are not empty, ascending by value.

        Zeros are not among them.
        """
        low, high = edges()
        order = np.argsort(low[self.bin_index], kind="stable")
        index = self.bin_index[order]
        return low[index], high[index], self.counts[order]

    def rebin(self, new_edges: ArrayLike, *, zeros: bool = True) -> NDArray[np.float64]:
        """Return the counts of the finite values between new edges: floats, of length B.

        Each stored bin's count is divided among the new bins in proportion to the length that overlaps. A stored bin is
        first cut to the exact minimum and maximum, so no count falls where no value was. As in numpy.histogram, the
        last bin includes its right edge, and values outside the edges are not counted.

        new_edges: ascending, of length B + 1. zeros: whether zeros are counted.
        """
        new_edges = np.asarray(new_edges, dtype=np.float64)
        low, high, counts = self.bins()
        if self.minimum is not None and self.maximum is not None:
            low, high = np.maximum(low, self.minimum), np.minimum(high, self.maximum)
        rebinned = _overlap(new_edges, low, high, counts.astype(np.float64))
        if zeros and self.zeros:
            index = _bin_of(0.0, new_edges)
            if index is not None:
                rebinned[index] += self.zeros
        return rebinned

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
        outside = _overlap(np.array([threshold, np.inf]), low, high, counts.astype(np.float64))
        outside += _overlap(np.array([-np.inf, -threshold]), low, high, counts.astype(np.float64))
        return float((outside.sum() + self.positive_infinities + self.negative_infinities) / self.count)

    def to_bytes(self) -> bytes:
        """Return the bins as they are stored: zlib of the differences of the indices and of the counts."""
        gaps = np.diff(self.bin_index.astype("<u2"), prepend=np.zeros(1, "<u2"))
        return zlib.compress(gaps.astype("<u2").tobytes() + self.counts.astype("<u4").tobytes(), 6)


SCALARS: Mapping[str, Any] = {  # the fields that are numbers, and their types
    field.name: field.type for field in fields(Histogram) if field.name not in ("bin_index", "counts")
}


def unpack(packed: bytes) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
    """Return the indices and the counts of bins packed by `Histogram.to_bytes`. Raises ValueError for other bytes."""
    try:
        raw = zlib.decompress(packed)
    except zlib.error as error:
        raise ValueError(f"not a packed histogram: {error}") from error
    if len(raw) % 6:
        raise ValueError(f"a packed histogram has 6 bytes for each bin, not {len(raw)} bytes in all")
    bins = len(raw) // 6
    gaps = np.frombuffer(raw, "<u2", bins)
    return np.cumsum(gaps, dtype=np.uint16), np.frombuffer(raw, "<u4", bins, offset=2 * bins).astype(np.int64)


@cache
def edges() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the low and the high edge of each of the 16,384 bins, by index. Those of infinities and NaNs are empty."""
    leading_bits = np.arange(HALF + 1, dtype=np.uint32)
    with np.errstate(invalid="ignore"):
        magnitudes = (leading_bits << SHIFT).view(np.float32).astype(np.float64)
    low, high = magnitudes[:-1], magnitudes[1:]
    both = np.concatenate([low, -high]), np.concatenate([high, -low])
    for edge in both:
        edge.setflags(write=False)
    return both


def _overlap(
    new_edges: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64], counts: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return how much of the counts of the bins [low, high] lies between new edges, if each bin is filled evenly."""
    wide = high > low
    # The cumulative count is piecewise linear. The count between two edges is the difference of its values there.
    knots = np.stack([low[wide], high[wide]], axis=1).ravel()
    heights = np.repeat(np.cumsum(counts[wide]), 2)
    heights[::2] -= counts[wide]
    rebinned = np.diff(np.interp(new_edges, knots, heights)) if len(knots) else np.zeros(len(new_edges) - 1)
    for value, count in zip(low[~wide], counts[~wide], strict=True):  # two at most: those of minimum and maximum
        index = _bin_of(float(value), new_edges)
        if index is not None:
            rebinned[index] += count
    return rebinned


def _bin_of(value: float, new_edges: NDArray[np.float64]) -> int | None:
    """Return the index of the bin that holds the value, as in numpy.histogram. None if it is outside all bins."""
    if not new_edges[0] <= value <= new_edges[-1]:
        return None
    return min(int(np.searchsorted(new_edges, value, side="right")) - 1, len(new_edges) - 2)
