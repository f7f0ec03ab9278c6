"""The grid of a quantity: one panel per layer, 50 bins, exact zeros in a colour of their own."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import StepPatch
from matplotlib.text import Text
from numpy.typing import NDArray

from normlab.store.histograms import Histogram
from normlab.store.records import Capture
from service.plots.scales import PanelScale, Scale, panel_scale
from service.plots.style import FAINT, INK, VALUES, ZEROS, percentage, style_axes

COLUMNS = 3
LEGEND_ZEROS_PIXELS = 110  # the width of the legend's right half, with a gap before it


@dataclass(frozen=True)
class Panel:
    """The axes of one layer, and the artists in them that change from frame to frame."""

    axes: Axes
    scale: PanelScale
    values: StepPatch
    zeros: StepPatch
    title: Text
    cut_height: Text
    warning: Text

    def show(self, histogram: Histogram, layer: int) -> None:
        """Draw one histogram into the panel."""
        nonzero, zeros = heights(histogram, self.scale)
        self.values.set_data(nonzero, self.scale.positions)
        self.zeros.set_data(nonzero + zeros, self.scale.positions)  # the values cover all of it but the zeros
        self.title.set_text(f"layer {layer}   zeros {percentage(histogram.zeros, histogram.count)}")
        self._label_cut_bar(nonzero + zeros)
        self.warning.set_text(_nonfinite(histogram))

    def changing_artists(self) -> tuple[Artist, ...]:
        """Return what changes from frame to frame, in the order in which it is drawn."""
        return self.zeros, self.values, self.title, self.cut_height, self.warning

    def _label_cut_bar(self, bars: NDArray[np.float64]) -> None:
        """Write the height of a bar that is cut at the top of the panel beside the bar."""
        highest = int(bars.argmax())
        left, right = self.scale.positions[highest : highest + 2]
        if bars[highest] <= self.axes.get_ylim()[1]:
            self.cut_height.set_text("")
        elif left + right < self.scale.positions[0] + self.scale.positions[-1]:
            self.cut_height.set(x=right, ha="left", text=f" ▲ {bars[highest]:.1f} %")
        else:
            self.cut_height.set(x=left, ha="right", text=f"▲ {bars[highest]:.1f} % ")


def heights(histogram: Histogram, scale: PanelScale) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the percentage of all values that are non-zero, and that are exact zeros, in each bin."""
    count = max(histogram.count, 1)
    nonzero = histogram.rebin(scale.edges, zeros=False)
    zeros = histogram.rebin(scale.edges) - nonzero
    return 100 * nonzero / count, 100 * zeros / count


def panels(
    figure: Figure | SubFigure, captures: Sequence[Capture], quantity: str, *, scale: Scale, font: float = 11
) -> dict[int, Panel]:
    """Return an empty panel for each layer. Its axes are wide and high enough for every one of these captures."""
    layers = sorted({layer for capture in captures for layer, name in capture.histograms if name == quantity})
    rows = -(-len(layers) // COLUMNS)
    grid = figure.subplots(rows, COLUMNS, squeeze=False)
    for unused in grid.flat[len(layers) :]:
        unused.set_axis_off()
    by_layer = {}
    for axes, layer in zip(grid.flat, layers, strict=False):
        key = layer, quantity
        histograms = [capture.histograms[key] for capture in captures if key in capture.histograms]
        by_layer[layer] = _panel(axes, histograms, panel_scale(histograms, scale), font)
    return by_layer


def _panel(axes: Axes, histograms: Sequence[Histogram], scale: PanelScale, font: float) -> Panel:
    style_axes(axes)
    axes.tick_params(labelsize=font - 2)
    axes.set_xlim(scale.positions[0], scale.positions[-1])
    axes.set_ylim(0, _top([heights(histogram, scale) for histogram in histograms]))
    axes.set_xticks([position for position, _ in scale.ticks], [label for _, label in scale.ticks])
    axes.set_xticks(scale.minor, minor=True)
    axes.locator_params(axis="y", nbins=4)
    axes.yaxis.set_major_formatter("{x:g} %")
    if scale.exponent:
        axes.set_xlabel(f"$\\times 10^{{{scale.exponent}}}$", fontsize=font - 2, color=INK, loc="right", labelpad=1)
    empty = np.zeros(len(scale.positions) - 1)
    zeros = axes.stairs(empty, scale.positions, fill=True, color=ZEROS)
    values = axes.stairs(empty, scale.positions, fill=True, color=VALUES)
    title = axes.set_title("", fontsize=font, color=INK, loc="left")
    cut_height = axes.text(0, 0.97, "", transform=axes.get_xaxis_transform(), va="top", fontsize=font - 2, color=ZEROS)
    warning = axes.text(
        0.98, 0.92, "", transform=axes.transAxes, ha="right", va="top", fontsize=font, color=ZEROS, weight="bold"
    )
    return Panel(axes, scale, values, zeros, title, cut_height, warning)


def _top(bars: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]]) -> float:
    """Return the top of a panel's y axis, above every bar of non-zero values.

    A bar of exact zeros is cut at twice the highest of those, because otherwise it would flatten all others. Its height
    is written beside it.
    """
    highest_nonzero = max((float(nonzero.max()) for nonzero, _ in bars), default=0.0)
    highest = max((float((nonzero + zeros).max()) for nonzero, zeros in bars), default=0.0)
    return 1.05 * (min(highest, 2 * highest_nonzero) or highest or 100.0)


def _nonfinite(histogram: Histogram) -> str:
    infinities = histogram.positive_infinities + histogram.negative_infinities
    return "\n".join(f"{count:,} {kind}" for count, kind in ((histogram.nans, "NaN"), (infinities, "Inf")) if count)


def legend(figure: Figure, x: float, y: float) -> None:
    """Name the two colours, right-aligned at x, and what the height of the bars is."""
    left = x - LEGEND_ZEROS_PIXELS / figure.bbox.width
    figure.text(left, y, "■ non-zero values", color=VALUES, fontsize=10, ha="right", va="center")
    figure.text(x, y, "■ exact zeros", color=ZEROS, fontsize=10, ha="right", va="center")
    figure.text(0.012, 0.5, "share of values", color=FAINT, fontsize=10, rotation=90, ha="center", va="center")
