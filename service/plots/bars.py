"""The heights of a panel's bars: shares of all values on a linear axis, and densities on a symmetric logarithmic one.

The bins of a symmetric logarithmic axis are unequally wide as values, so the shares of a single bell would show two
humps there. A density is the share per unit of the value, and has the shape of the distribution on every axis.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from normlab.store.histograms import Histogram
from service.plots.scales import PanelScale

MIN_COUNT = 5  # values that a density is taken from
Bars = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True)
class HeightAxis:
    """The y axis of a panel. bottom, top: its ends. ticks: places and labels; None lets matplotlib choose them."""

    bottom: float
    top: float
    ticks: tuple[tuple[float, str], ...] | None = None


def heights(histogram: Histogram, scale: PanelScale) -> Bars:
    """Return the percentage of all values that are non-zero, and that are exact zeros, in each bin."""
    count = max(histogram.count, 1)
    nonzero = histogram.rebin(scale.edges, zeros=False)
    zeros = histogram.rebin(scale.edges) - nonzero
    return 100 * nonzero / count, 100 * zeros / count


def densities(histogram: Histogram, scale: PanelScale) -> Bars:
    """Return the share of all values per unit of the value, of the non-zero values and of the exact zeros.

    The bins near zero may be so narrow that hardly any value is in them, and a bell would have gaps in its middle. So a
    bin of fewer than five values between fuller ones has the density of itself with as many neighbours as needed.
    """
    count = max(histogram.count, 1)
    nonzero = histogram.rebin(scale.edges, zeros=False)
    zeros = histogram.rebin(scale.edges) - nonzero
    per_unit = nonzero / np.diff(scale.edges)
    below = np.concatenate([[0.0], np.cumsum(nonzero)])
    full = np.flatnonzero(nonzero >= MIN_COUNT)
    for index in map(int, np.flatnonzero(nonzero < MIN_COUNT)):
        if full.size and full[0] < index < full[-1]:
            low, high = index, index + 1
            while below[high] - below[low] < MIN_COUNT:
                low, high = max(low - 1, 0), min(high + 1, len(nonzero))
            per_unit[index] = (below[high] - below[low]) / (scale.edges[high] - scale.edges[low])
    return per_unit / count, zeros / np.diff(scale.edges) / count


def drawn_bars(histogram: Histogram, scale: PanelScale) -> Bars:
    """Return how high the bars of the non-zero values, and of all values, are drawn: in per cent, or log10 of density.

    The logarithm of no value is −∞.
    """
    if scale.linear_part is None:
        nonzero, zeros = heights(histogram, scale)
        return nonzero, nonzero + zeros
    nonzero, zeros = densities(histogram, scale)
    with np.errstate(divide="ignore"):
        return np.log10(nonzero), np.log10(nonzero + zeros)


def height_axis(histograms: Sequence[Histogram], scale: PanelScale) -> HeightAxis:
    """Return a y axis that is high enough for every one of these histograms."""
    bars = [drawn_bars(histogram, scale) for histogram in histograms]
    return _shares(bars) if scale.linear_part is None else _logarithms(bars)


def _shares(bars: Sequence[Bars]) -> HeightAxis:
    """Return an axis of percentages, above every bar of non-zero values.

    A bar of exact zeros is cut at twice the highest of those, because otherwise it would flatten all others.
    """
    highest_nonzero = max((float(nonzero.max()) for nonzero, _ in bars), default=0.0)
    highest = max((float(every.max()) for _, every in bars), default=0.0)
    return HeightAxis(0.0, 1.05 * (min(highest, 2 * highest_nonzero) or highest or 100.0))


def _logarithms(bars: Sequence[Bars]) -> HeightAxis:
    """Return an axis of powers of ten, from below the lowest bar to above the highest."""
    finite = [values[np.isfinite(values)] for nonzero, every in bars for values in (nonzero, every)]
    present = np.concatenate(finite) if finite else np.zeros(0)
    if not present.size:
        return HeightAxis(-1.0, 0.0, ())
    bottom, top = float(present.min()) - 0.5, float(present.max()) + 0.2
    powers = range(math.ceil(bottom), math.floor(top) + 1)
    stride = max(1, math.ceil(len(powers) / 4))
    return HeightAxis(bottom, top, tuple((float(power), f"$10^{{{power}}}$") for power in powers[::-1][::stride]))
