"""The grid of a quantity: one panel a layer, 50 bins, exact zeros in a colour of their own."""

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
from service.plots.style import FAINT, INK, VALUES, ZEROS, plain, share

COLUMNS = 3


@dataclass(frozen=True)
class Panel:
    """One layer's axes and what changes in them from frame to frame."""

    axes: Axes
    scale: PanelScale
    values: StepPatch
    zeros: StepPatch
    title: Text
    cut: Text
    warning: Text

    def show(self, histogram: Histogram, layer: int) -> None:
        """Draw one histogram into the panel."""
        nonzero, zeros = heights(histogram, self.scale)
        self.values.set_data(nonzero, self.scale.positions)
        self.zeros.set_data(nonzero + zeros, self.scale.positions)  # behind the values: what shows is the zeros
        self.title.set_text(f"layer {layer}   zeros {share(histogram.zeros, histogram.count)}")
        self._mark_what_is_cut(nonzero + zeros)
        self.warning.set_text(_nonfinite(histogram))

    def moving(self) -> tuple[Artist, ...]:
        """What a frame changes, in drawing order."""
        return self.zeros, self.values, self.title, self.cut, self.warning

    def _mark_what_is_cut(self, drawn: NDArray[np.float64]) -> None:
        """Beside a bar that ends above the panel, how high it is."""
        place = int(drawn.argmax())
        left, right = self.scale.positions[place : place + 2]
        if drawn[place] <= self.axes.get_ylim()[1]:
            self.cut.set_text("")
        elif left + right < self.scale.positions[0] + self.scale.positions[-1]:
            self.cut.set(x=right, ha="left", text=f" ▲ {drawn[place]:.1f} %")
        else:
            self.cut.set(x=left, ha="right", text=f"▲ {drawn[place]:.1f} % ")


def heights(histogram: Histogram, scale: PanelScale) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Per bin, the share in per cent of all values: the non-zero ones, and exact zeros."""
    whole = max(histogram.count, 1)
    nonzero = histogram.rebin(scale.edges, zeros=False)
    zeros = histogram.rebin(scale.edges) - nonzero
    return 100 * nonzero / whole, 100 * zeros / whole


def panels(
    into: Figure | SubFigure, captures: Sequence[Capture], quantity: str, *, scale: Scale, font: float = 11
) -> dict[int, Panel]:
    """An empty panel for each layer, its axes wide and high enough for every one of these captures."""
    layers = sorted({layer for capture in captures for layer, name in capture.histograms if name == quantity})
    rows = -(-len(layers) // COLUMNS)
    grid = into.subplots(rows, COLUMNS, squeeze=False)
    for spare in grid.flat[len(layers) :]:
        spare.set_axis_off()
    made = {}
    for axes, layer in zip(grid.flat, layers, strict=False):
        seen = [capture.histograms[layer, quantity] for capture in captures if (layer, quantity) in capture.histograms]
        made[layer] = _panel(axes, seen, scale, font)
    return made


def _panel(axes: Axes, seen: Sequence[Histogram], scale: Scale, font: float) -> Panel:
    chosen = panel_scale(seen, scale)
    plain(axes)
    axes.tick_params(labelsize=font - 2)
    axes.set_xlim(chosen.positions[0], chosen.positions[-1])
    axes.set_ylim(0, _top([heights(histogram, chosen) for histogram in seen]))
    axes.set_xticks([place for place, _ in chosen.ticks], [label for _, label in chosen.ticks])
    axes.set_xticks(chosen.minor, minor=True)
    axes.locator_params(axis="y", nbins=4)
    axes.yaxis.set_major_formatter("{x:g} %")
    if chosen.exponent:
        axes.set_xlabel(f"$\\times 10^{{{chosen.exponent}}}$", fontsize=font - 2, color=INK, loc="right", labelpad=1)
    empty = np.zeros(len(chosen.positions) - 1)
    zeros = axes.stairs(empty, chosen.positions, fill=True, color=ZEROS)
    values = axes.stairs(empty, chosen.positions, fill=True, color=VALUES)
    title = axes.set_title("", fontsize=font, color=INK, loc="left")
    cut = axes.text(0, 0.97, "", transform=axes.get_xaxis_transform(), va="top", fontsize=font - 2, color=ZEROS)
    warning = axes.text(
        0.98, 0.92, "", transform=axes.transAxes, ha="right", va="top", fontsize=font, color=ZEROS, weight="bold"
    )
    return Panel(axes, chosen, values, zeros, title, cut, warning)


def _top(drawn: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]]) -> float:
    """How high a panel is: above every bar of non-zero values.

    A spike of exact zeros may rise to twice that and is cut there, lest it flatten all else; its height is written
    beside it.
    """
    highest = max((float(nonzero.max()) for nonzero, _ in drawn), default=0.0)
    whole = max((float((nonzero + zeros).max()) for nonzero, zeros in drawn), default=0.0)
    return 1.05 * (min(whole, 2 * highest) or whole or 100.0)


def _nonfinite(histogram: Histogram) -> str:
    infinities = histogram.positive_infinities + histogram.negative_infinities
    words = [f"{count:,} {what}" for count, what in ((histogram.nans, "NaN"), (infinities, "Inf")) if count]
    return "\n".join(words)


def legend(into: Figure, x: float, y: float) -> None:
    """What the two colours are, in words of those colours, ending at x; and what the bars' height is."""
    width = 110 / into.bbox.width
    into.text(x - width, y, "■ non-zero values", color=VALUES, fontsize=10, ha="right", va="center")
    into.text(x, y, "■ exact zeros", color=ZEROS, fontsize=10, ha="right", va="center")
    into.text(0.012, 0.5, "share of values", color=FAINT, fontsize=10, rotation=90, ha="center", va="center")
