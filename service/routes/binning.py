"""A stored histogram as the bins of a response."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from normlab.store.histograms import Histogram

Edges = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Linear:
    """Bins of one width.

    low, high: their outer edges; None stands for the histogram's own minimum or maximum. Raises ValueError unless low
    is less than high and the bins have distinct edges.
    """

    bins: int
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        if self.low is None or self.high is None:
            return
        if self.low >= self.high:
            raise ValueError(f"low: expected a number below high, {self.high:g}")
        if not np.isfinite(self.high - self.low) or (np.diff(_between(self.low, self.high, self.bins)) <= 0).any():
            raise ValueError(f"low and high: there are no {self.bins} bins between {self.low!r} and {self.high!r}")

    def within(self, extremes: tuple[float, float] | None) -> "Linear":
        """Return bins whose open edges are those of these extremes. None stands for no value at all."""
        if extremes is None:
            return self
        edges = self.edges(*extremes)
        return Linear(self.bins, float(edges[0]), float(edges[-1]))

    def edges(self, minimum: float, maximum: float) -> Edges:
        """Return the edges, of shape (bins + 1,), for values with these extremes."""
        low = minimum if self.low is None else self.low
        high = maximum if self.high is None else self.high
        if low >= high:  # one value alone, or a chosen edge beyond all values
            # As in numpy.histogram, and more where the neighbours of the value are farther away than that.
            margin = max(0.5, abs(low) / 2**20, abs(high) / 2**20)
            low, high = (
                (low, low + 2 * margin)
                if self.low is not None
                else (high - 2 * margin, high)
                if self.high is not None
                else (low - margin, high + margin)
            )
        return _between(low, high, self.bins)


def linear_bins(histogram: Histogram, linear: Linear) -> dict[str, Any]:
    """Return the fields of a histogram in linear bins, which count zeros too."""
    if histogram.minimum is None or histogram.maximum is None:
        return _fields(histogram)
    edges = linear.edges(histogram.minimum, histogram.maximum)
    below = histogram.cumulative(edges)
    return _fields(
        histogram,
        edges[:-1],
        edges[1:],
        np.maximum(np.diff(below), 0.0),
        below=float(below[0]),
        above=max(histogram.finite - float(below[-1]), 0.0),
        divided=histogram.divided(edges),
    )


def native_bins(histogram: Histogram) -> dict[str, Any]:
    """Return the fields of a histogram in its bins as stored, which do not count zeros."""
    return _fields(histogram, *histogram.bins())


def _fields(
    histogram: Histogram, *low_high_count: NDArray[Any], below: float = 0.0, above: float = 0.0, divided: int = 0
) -> dict[str, Any]:
    """Return the fields in their order. low_high_count: the edges and the counts of the bins, each of shape (B,)."""
    return {
        "zeros": histogram.zeros,
        "nonfinite": histogram.nonfinite,
        "below": below,
        "above": above,
        "divided": divided,
        "resolution": histogram.resolution,
        "resolution_is_coarse": histogram.resolution_is_coarse,
        # Tuples of numbers, because Python's garbage collector would visit as many lists again and again.
        "bins": list(zip(*(column.tolist() for column in low_high_count), strict=True)),
    }


def _between(low: float, high: float, bins: int) -> Edges:
    return np.linspace(low, high, bins + 1)
