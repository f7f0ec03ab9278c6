"""The grid of a quantity: one panel per layer, 50 bins, exact zeros in a colour of their own."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch
from matplotlib.text import Text
from numpy.typing import NDArray

from normlab.store.histograms import Histogram
from normlab.store.records import Capture
from service.plots.bars import HeightAxis, drawn_bars, height_axis
from service.plots.captions import Captions
from service.plots.layout import Area, columns_of, layers_of, rows_of
from service.plots.scales import PanelScale, Scale, panel_scale
from service.plots.style import BAND, FAINT, INK, VALUES, ZEROS, histogram_notes, percentage, style_axes


@dataclass(frozen=True)
class Panel:
    """The axes of one layer, and the artists in them that change from frame to frame."""

    axes: Axes
    scale: PanelScale
    values: StepPatch
    zeros: StepPatch
    title: Text
    cut_height: Text
    notes: Text

    def show(self, histogram: Histogram, layer: int) -> None:
        """Draw one histogram into the panel."""
        nonzero, every = drawn_bars(histogram, self.scale)
        bottom, top = self.axes.get_ylim()
        self.values.set_data(np.maximum(nonzero, bottom), self.scale.positions)
        self.zeros.set_data(np.maximum(every, bottom), self.scale.positions)  # the values cover all of it but the zeros
        self.title.set_text(f"layer {layer} · zeros {percentage(histogram.zeros, histogram.count)}")
        self._write_beside_highest_bar(every, top, "\n".join(histogram_notes(histogram)))

    def changing_artists(self) -> tuple[Artist, ...]:
        """Return what changes from frame to frame, in the order in which it is drawn."""
        return self.zeros, self.values, self.title, self.cut_height, self.notes

    def _write_beside_highest_bar(self, bars: NDArray[np.float64], top: float, notes: str) -> None:
        """Write the notes on the side where there is more room, and the height of a bar that is cut at the top."""
        highest = int(bars.argmax())
        left, right = self.scale.positions[highest : highest + 2]
        height = f"▲ {bars[highest]:.1f} %" if bars[highest] > top else ""
        if left + right < self.scale.positions[0] + self.scale.positions[-1]:
            self.cut_height.set(x=right, ha="left", text=height and f" {height}")
            self.notes.set(x=0.98, ha="right", text=notes)
        else:
            self.cut_height.set(x=left, ha="right", text=height and f"{height} ")
            self.notes.set(x=0.02, ha="left", text=notes)


class Grid:
    """The panels of a quantity's layers. Their axes are wide and high enough for every one of the captures."""

    def __init__(
        self, figure: Figure, area: Area, captures: Sequence[Capture], quantity: str, *, scale: Scale,
        captions: Captions, font: float,
    ) -> None:  # fmt: skip
        self.quantity = quantity
        self.panels: dict[int, Panel] = {}
        layers = layers_of(captures, quantity)
        rows, columns = rows_of(len(layers)), columns_of(len(layers))
        bars = "share of values" if scale == "linear" else "density (share per unit of value)"
        width, height = figure.get_size_inches()
        figure.text(
            (area.left + 0.05) / width, (area.bottom + area.height / 2) / height, bars, fontsize=font - 1, color=FAINT,
            rotation=90, ha="center", va="center",
        )  # fmt: skip
        area = area.inside(left=0.06)
        margins = {"left": 0.062 * font, "right": 0.2, "bottom": 0.046 * font, "top": 0.046 * font}
        for index, layer in enumerate(layers):
            key = layer, quantity
            histograms = [capture.histograms[key] for capture in captures if key in capture.histograms]
            axes = area.cell(index, rows, columns).inside(**margins).axes(figure)
            self.panels[layer] = _panel(axes, histograms, panel_scale(histograms, scale), font, captions.get(layer, ""))

    def show(self, capture: Capture) -> None:
        """Put a capture into the panels."""
        for layer, panel in self.panels.items():
            if (layer, self.quantity) in capture.histograms:
                panel.show(capture.histograms[layer, self.quantity], layer)

    def changing_artists(self) -> Iterator[tuple[Axes, Artist]]:
        """Yield what changes from frame to frame, each with its axes, in the order in which it is drawn."""
        for panel in self.panels.values():
            for artist in panel.changing_artists():
                yield panel.axes, artist


def _panel(axes: Axes, histograms: Sequence[Histogram], scale: PanelScale, font: float, caption: str) -> Panel:
    height = height_axis(histograms, scale)
    _set_axes(axes, scale, height, font)
    if caption:
        _above(axes, caption, 4, fontsize=font - 2, color=FAINT)
    empty = np.full(len(scale.positions) - 1, height.bottom)
    zeros = axes.stairs(empty, scale.positions, baseline=height.bottom, fill=True, color=ZEROS)
    values = axes.stairs(empty, scale.positions, baseline=height.bottom, fill=True, color=VALUES)
    title = _above(axes, "", font + 5 if caption else 5, fontsize=font, color=INK)
    cut_height = axes.text(0, 0.97, "", transform=axes.get_xaxis_transform(), va="top", fontsize=font - 2, color=ZEROS)
    notes = axes.text(0, 0.84, "", transform=axes.transAxes, va="top", fontsize=font, color=ZEROS, weight="bold")
    notes.set_bbox({"facecolor": "white", "alpha": 0.85, "linewidth": 0, "pad": 1.5})  # it may lie on bars
    return Panel(axes, scale, values, zeros, title, cut_height, notes)


def _set_axes(axes: Axes, scale: PanelScale, height: HeightAxis, font: float) -> None:
    style_axes(axes)
    axes.tick_params(labelsize=font - 2)
    axes.set_xlim(scale.positions[0], scale.positions[-1])
    axes.set_ylim(height.bottom, height.top)
    axes.set_xticks([position for position, _ in scale.ticks], [label for _, label in scale.ticks])
    axes.set_xticks(scale.minor, minor=True)
    if height.ticks is None:
        axes.locator_params(axis="y", nbins=4)
        axes.yaxis.set_major_formatter("{x:g} %")
    else:
        axes.set_yticks([place for place, _ in height.ticks], [label for _, label in height.ticks])
    if scale.linear_part is not None:
        axes.axvspan(*scale.linear_part, color=BAND, zorder=0)
    if scale.label:
        axes.set_xlabel(scale.label, fontsize=font - 2, color=INK, loc="right", labelpad=1)


def _above(axes: Axes, text: str, points: float, *, fontsize: float, color: str) -> Text:
    """Return text that begins at the left end of the axes, so many points above them."""
    return axes.annotate(text, (0, 1), (0, points), "axes fraction", "offset points", fontsize=fontsize, color=color)
