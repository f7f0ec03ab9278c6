"""The histogram of a tensor as it is stored and drawn: exact counts in bins that no data can move.

A float32's bin is its own leading bits: the sign, the exponent and the first five bits of the mantissa. So the bins
are log-linear, each at most 1/32 of its value wide; any two histograms merge and compare bin by bin, and every linear
picture, quantile or share is drawn later from what is stored. Counting happens in normcore; nothing is counted here.
"""

import zlib
from dataclasses import dataclass, fields
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

MANTISSA_BITS = 5
SHIFT = 23 - MANTISSA_BITS
HALF = 1 << (8 + MANTISSA_BITS)  # codes below HALF are positive floats, the rest negative ones
CODES = 2 * HALF


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of one tensor's values.

    codes, counts: the bins that hold something, ascending by code; exact zeros and non-finite values are not among
    them but counted beside. minimum, maximum, total and total_of_squares are exact over the finite values, zeros
    included; minimum and maximum are None where nothing is finite.
    """

    codes: NDArray[np.uint16]
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
        """How many values are finite, zeros included."""
        return int(self.counts.sum()) + self.zeros

    @property
    def nonfinite(self) -> int:
        """How many values are NaN or infinite."""
        return self.nans + self.positive_infinities + self.negative_infinities

    @property
    def count(self) -> int:
        """How many values there are in all."""
        return self.finite + self.nonfinite

    @property
    def zero_share(self) -> float:
        """The exact share of zeros among all values, 0…1."""
        return self.zeros / self.count if self.count else 0.0

    @property
    def mean(self) -> float | None:
        """Mean of the finite values."""
        return self.total / self.finite if self.finite else None

    @property
    def std(self) -> float | None:
        """Standard deviation (biased) of the finite values."""
        if not self.finite:
            return None
        mean = self.total / self.finite
        return float(np.sqrt(max(self.total_of_squares / self.finite - mean * mean, 0.0)))

    @property
    def l2_norm(self) -> float:
        """Euclidean norm of the finite values."""
        return float(np.sqrt(self.total_of_squares))

    def bins(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
        """Low edges, high edges and counts of the bins that hold something, ascending by value; zeros are apart."""
        low, high = edges()
        order = np.argsort(low[self.codes], kind="stable")
        codes = self.codes[order]
        return low[codes], high[codes], self.counts[order]

    def rebin(self, new_edges: ArrayLike, *, zeros: bool = True) -> NDArray[np.float64]:
        """Count the finite values between new edges, sharing each stored bin out by the length that overlaps.

        A stored bin is first cut to the exact minimum and maximum, so nothing is drawn where no value was. Like
        numpy.histogram, the last bin includes its right edge; values outside the edges are not counted.

        new_edges: ascending, length B + 1. zeros: whether exact zeros are counted in. Returns float counts, length B.
        """
        new_edges = np.asarray(new_edges, dtype=np.float64)
        low, high, counts = self.bins()
        if self.minimum is not None and self.maximum is not None:
            low, high = np.maximum(low, self.minimum), np.minimum(high, self.maximum)
        shared = _overlap(new_edges, low, high, counts.astype(np.float64))
        if zeros and self.zeros:
            place = _bin_of(0.0, new_edges)
            if place is not None:
                shared[place] += self.zeros
        return shared

    def quantile(self, q: float) -> float | None:
        """The value below which the share q of the finite values lies, exact to within its stored bin (3 %)."""
        if not self.finite:
            return None
        low, high, counts = self.bins()
        negative = int(np.searchsorted(high, 0.0, side="right"))  # zeros lie between these bins and the others
        low, high = np.insert(low, negative, 0.0), np.insert(high, negative, 0.0)
        counts = np.insert(counts, negative, self.zeros)
        below = np.concatenate([[0], np.cumsum(counts)])
        target = q * self.finite
        place = min(int(np.searchsorted(below[1:], target)), len(counts) - 1)
        inside = (target - below[place]) / counts[place] if counts[place] else 0.0
        value = low[place] + inside * (high[place] - low[place])
        return float(np.clip(value, self.minimum, self.maximum))

    def share_above(self, threshold: float) -> float:
        """The share of all values whose magnitude exceeds threshold (≥ 0), to within the bin that holds threshold."""
        if not self.count:
            return 0.0
        low, high, counts = self.bins()
        outside = _overlap(np.array([threshold, np.inf]), low, high, counts.astype(np.float64))
        outside += _overlap(np.array([-np.inf, -threshold]), low, high, counts.astype(np.float64))
        return float((outside.sum() + self.positive_infinities + self.negative_infinities) / self.count)

    def to_bytes(self) -> bytes:
        """Pack codes and counts for the database: zlib over the codes' gaps and the counts, little-endian."""
        gaps = np.diff(self.codes.astype("<u2"), prepend=np.zeros(1, "<u2"))
        return zlib.compress(gaps.astype("<u2").tobytes() + self.counts.astype("<u4").tobytes(), 6)


def unpack(packed: bytes) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
    """Codes and counts out of what `Histogram.to_bytes` packed.

    Raises: ValueError if the bytes are not such a pack.
    """
    try:
        raw = zlib.decompress(packed)
    except zlib.error as error:
        raise ValueError(f"not a packed histogram: {error}") from error
    if len(raw) % 6:
        raise ValueError(f"a packed histogram has 6 bytes a bin; these are {len(raw)} bytes")
    bins = len(raw) // 6
    gaps = np.frombuffer(raw, "<u2", bins)
    return np.cumsum(gaps, dtype=np.uint16), np.frombuffer(raw, "<u4", bins, offset=2 * bins).astype(np.int64)


SCALARS = tuple(field.name for field in fields(Histogram) if field.name not in ("codes", "counts"))


@cache
def edges() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Low and high edge of each of the 16,384 codes; the codes of infinities and NaNs hold no finite value."""
    magnitude_codes = np.arange(HALF + 1, dtype=np.uint32)
    with np.errstate(invalid="ignore"):
        magnitudes = (magnitude_codes << SHIFT).view(np.float32).astype(np.float64)
    low, high = magnitudes[:-1], magnitudes[1:]
    both = np.concatenate([low, -high]), np.concatenate([high, -low])
    for edge in both:
        edge.setflags(write=False)
    return both


def _overlap(
    new_edges: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64], counts: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Counts of the bins [low, high] falling between new edges, each bin's content taken as spread evenly."""
    wide = high > low
    # The cumulative count is piecewise linear; what lies between two edges is the difference of its two values.
    knots = np.stack([low[wide], high[wide]], axis=1).ravel()
    heights = np.repeat(np.cumsum(counts[wide]), 2)
    heights[::2] -= counts[wide]
    shared = np.diff(np.interp(new_edges, knots, heights)) if len(knots) else np.zeros(len(new_edges) - 1)
    for value, count in zip(low[~wide], counts[~wide], strict=True):  # at most the two bins of minimum and maximum
        place = _bin_of(float(value), new_edges)
        if place is not None:
            shared[place] += count
    return shared


def _bin_of(value: float, new_edges: NDArray[np.float64]) -> int | None:
    """Which bin holds the value, as numpy.histogram would say; None where none does."""
    if not new_edges[0] <= value <= new_edges[-1]:
        return None
    return min(int(np.searchsorted(new_edges, value, side="right")) - 1, len(new_edges) - 2)
