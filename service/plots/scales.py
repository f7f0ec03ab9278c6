"""The x axis of a panel: the 50 bins that values are drawn in, on a linear or a symmetric logarithmic scale."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from normlab.store.histograms import Histogram

Axis = Literal["fixed", "free"]
Scale = Literal["linear", "symlog"]

BINS = 50
MAX_DECADES = 6  # on each side of zero on a symmetric logarithmic scale


@dataclass(frozen=True)
class PanelScale:
    """The bins of a panel and the ticks of its x axis.

    edges: of the bins, as values, 51. positions: the same edges as they are drawn on the axis, 51. ticks: positions
    and labels. exponent: a label times 10^exponent is the value. minor: positions of ticks without a label.
    """

    edges: NDArray[np.float64]
    positions: NDArray[np.float64]
    ticks: tuple[tuple[float, str], ...]
    exponent: int = 0
    minor: tuple[float, ...] = ()


def panel_scale(histograms: Sequence[Histogram], scale: Scale) -> PanelScale:
    """Return a scale that covers every finite value of these histograms."""
    low = min((h.minimum for h in histograms if h.minimum is not None), default=-1.0)
    high = max((h.maximum for h in histograms if h.maximum is not None), default=1.0)
    if low == high:  # a single value gets an axis around it
        width = abs(low) or 1.0
        low, high = low - width / 2, high + width / 2
    return _linear(low, high) if scale == "linear" else _symlog(low, high, histograms)


def _linear(low: float, high: float) -> PanelScale:
    edges = np.linspace(low, high, BINS + 1)
    exponent = math.floor(math.log10(max(abs(low), abs(high))))
    exponent = 0 if -2 <= exponent <= 2 else exponent
    locator = MaxNLocator(nbins=4, steps=[1, 2, 5, 10], min_n_ticks=3)
    ticks = [float(tick) for tick in locator.tick_values(low, high) if low <= tick <= high]
    labels = tuple((tick, f"{round(tick / 10.0**exponent, 6):g}".replace("-", "−")) for tick in ticks)
    return PanelScale(edges, edges, labels, exponent)


def _symlog(low: float, high: float, histograms: Sequence[Histogram]) -> PanelScale:
    """Return equal bins of sign(v) · log10(1 + |v| / threshold): linear below the threshold, logarithmic above."""
    top = math.ceil(math.log10(max(abs(low), abs(high))) - 1e-9)
    smallest = min((_first_percentile(h) for h in histograms if len(h.patterns)), default=10.0**top)
    bottom = max(math.floor(math.log10(smallest)), top - MAX_DECADES)
    lowest = min(bottom, top - 1)
    threshold = 10.0**lowest

    def to_position(value: float) -> float:
        return math.copysign(math.log10(1 + abs(value) / threshold), value)

    positions = np.linspace(to_position(low), to_position(high), BINS + 1)
    edges = np.sign(positions) * threshold * (10.0 ** np.abs(positions) - 1)
    edges[0], edges[-1] = low, high
    stride = max(1, math.ceil((top - lowest) / 2)) if low < 0 < high else 1
    magnitudes = [10.0**power for power in range(top, lowest, -stride)]
    marks = [-m for m in magnitudes] + [0.0] + magnitudes[::-1]
    ticks = tuple((to_position(m), _power_label(m)) for m in marks if low <= m <= high)
    digits = (1, 2, 5) if top - lowest <= 3 else (1,)
    between = [sign * digit * 10.0**power for sign in (-1, 1) for power in range(lowest, top) for digit in digits]
    return PanelScale(edges, positions, ticks, minor=tuple(to_position(m) for m in between if low <= m <= high))


def _first_percentile(histogram: Histogram) -> float:
    """Return the magnitude below which a hundredth of the non-zero values lie."""
    low, high, counts = histogram.bins()
    magnitudes = np.maximum(np.abs(low), np.abs(high))
    order = np.argsort(magnitudes)
    cumulative = np.cumsum(counts[order])
    return float(magnitudes[order][np.searchsorted(cumulative, cumulative[-1] / 100)])


def _power_label(value: float) -> str:
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    return f"${sign}10^{{{round(math.log10(abs(value)))}}}$"
