"""The x axis of a panel: the 50 bins that values are drawn in, on a linear or a symmetric logarithmic scale."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from normlab.store.histograms import Histogram
from service.plots.symlog import Symlog

Axis = Literal["fixed", "free"]
Scale = Literal["linear", "symlog"]

BINS = 50


@dataclass(frozen=True)
class PanelScale:
    """The bins of a panel and the ticks of its x axis.

    edges: of the bins, as values, 51. positions: the same edges as they are drawn on the axis, 51. ticks: positions
    and labels. label: what the axis says below its ticks. minor: positions of ticks without a label. linear_part: the
    positions between which a symmetric logarithmic axis is linear; None on a linear one.
    """

    edges: NDArray[np.float64]
    positions: NDArray[np.float64]
    ticks: tuple[tuple[float, str], ...]
    label: str = ""
    minor: tuple[float, ...] = ()
    linear_part: tuple[float, float] | None = None


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
    decimals = _decimals([tick / 10.0**exponent for tick in ticks])
    labels = tuple((tick, f"{tick / 10.0**exponent:.{decimals}f}".replace("-", "−")) for tick in ticks)
    return PanelScale(edges, edges, labels, f"$\\times 10^{{{exponent}}}$" if exponent else "")


def _decimals(ticks: Sequence[float]) -> int:
    """Return how many decimals tell the ticks, which have equal distances, from each other."""
    step = min((b - a for a, b in pairwise(ticks)), default=1.0)
    return max(0, -math.floor(math.log10(step) + 1e-9))


def _symlog(low: float, high: float, histograms: Sequence[Histogram]) -> PanelScale:
    """Return bins of equal width on the axis. Its linear part has about a tenth of a histogram's values, or more."""
    small = min((_first_tenth(h) for h in histograms if len(h.patterns)), default=max(abs(low), abs(high)))
    axis = Symlog.of(low, high, small)
    positions = np.linspace(axis.position(low), axis.position(high), BINS + 1)
    edges = axis.value(positions)
    edges[0], edges[-1] = low, high
    return PanelScale(
        edges, positions, axis.ticks(low, high), axis.label, axis.minor(low, high),
        (max(-1.0, float(positions[0])), min(1.0, float(positions[-1]))),
    )  # fmt: skip


def _first_tenth(histogram: Histogram) -> float:
    """Return the magnitude below which a tenth of the non-zero values lies."""
    low, high, counts = histogram.bins()
    magnitudes = np.maximum(np.abs(low), np.abs(high))
    order = np.argsort(magnitudes)
    cumulative = np.cumsum(counts[order])
    return float(magnitudes[order][np.searchsorted(cumulative, cumulative[-1] / 10)])
