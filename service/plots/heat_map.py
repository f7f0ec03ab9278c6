"""The heat map of a quantity in many layers: one row per layer, 50 bins, and the exact zeros in a bar beside it."""

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import ScaledTranslation
from numpy.typing import NDArray

from normlab.store.histograms import Histogram
from normlab.store.records import Capture
from service.plots.bars import densities, heights
from service.plots.captions import Captions
from service.plots.layout import Area, layers_of
from service.plots.scales import BINS, PanelScale, Scale, panel_scale
from service.plots.style import BAND, FAINT, INK, VALUES, ZEROS, histogram_notes, percentage, style_axes

DENSITY_DECADES = 3  # that a symmetric logarithmic map's colours span
COLOURS = LinearSegmentedColormap.from_list("values", ["white", VALUES])
# The widths of the columns, in inches.
NAMES, ZERO_BARS, ZERO_PERCENTAGES, MAGNITUDES, GAP = 2.3, 0.6, 0.55, 0.8, 0.12
EN_SPACE = "\u2002"  # a viewer of an SVG keeps it, and makes one space of several
HEADER_ROW = -0.6  # above the first row
FONT = 8


class HeatMap:
    """The rows of a quantity's layers.

    On a linear scale the values of each layer are relative to its largest magnitude in the captures, which is written
    beside the row. On a symmetric logarithmic one all layers share the axis.
    """

    def __init__(
        self, figure: Figure, area: Area, captures: Sequence[Capture], quantity: str, *, scale: Scale,
        captions: Captions,
    ) -> None:  # fmt: skip
        self.quantity, self.layers = quantity, layers_of(captures, quantity)
        self.scales, label = _scales(captures, quantity, self.layers, scale)
        rows = len(self.layers)
        margin = GAP + ZERO_BARS + ZERO_PERCENTAGES + (MAGNITUDES if scale == "linear" else 0.0)
        place = area.inside(left=NAMES, right=margin, bottom=0.5, top=0.25)
        names = [f"{captions.get(layer, '')}{EN_SPACE}{layer}".strip() for layer in self.layers]
        self.axes = _map_axes(place.axes(figure), self.scales[self.layers[0]], names, label)
        self.colours, self.fractions = np.zeros((rows, BINS)), np.zeros(rows)
        positions = self.scales[self.layers[0]].positions
        self.image = self.axes.imshow(
            self.colours, COLOURS, aspect="auto", vmin=0, vmax=1, interpolation="nearest", zorder=0,
            extent=(positions[0], positions[-1], rows, 0),
        )  # fmt: skip
        self.notes = _column(self.axes, [""] * rows, -0.05, "right", ZEROS)
        beside = Area(place.left + place.width + GAP, place.bottom, ZERO_BARS, place.height)
        self.zero_axes = _bar_axes(beside.axes(figure), rows)
        self.zeros = self.zero_axes.stairs(
            self.fractions, np.arange(rows + 1), orientation="horizontal", fill=True, color=ZEROS
        )
        self.percentages = _column(self.zero_axes, [""] * rows, 0.05, "left", INK)
        _column(self.axes, ["layer"], -place.width - 0.05, "right", FAINT, row=HEADER_ROW)
        _column(self.zero_axes, ["exact zeros"], -ZERO_BARS, "left", FAINT, row=HEADER_ROW)
        if scale == "linear":
            right = ZERO_PERCENTAGES + MAGNITUDES
            texts = [f"{self.scales[layer].edges[-1]:.2g}".replace("-", "−") for layer in self.layers]
            _column(self.zero_axes, texts, right, "right", INK)
            _column(self.zero_axes, ["largest |value|"], right, "right", FAINT, row=HEADER_ROW)

    def show(self, capture: Capture) -> None:
        """Put a capture into the rows. A layer that was not captured keeps what it shows."""
        for row, layer in enumerate(self.layers):
            if (layer, self.quantity) in capture.histograms:
                histogram = capture.histograms[layer, self.quantity]
                self.colours[row] = _colours(histogram, self.scales[layer])
                self.fractions[row] = histogram.zero_fraction
                self.percentages[row].set_text(percentage(histogram.zeros, histogram.count))
                self.notes[row].set_text(", ".join(histogram_notes(histogram)))
        self.image.set_data(self.colours)
        self.zeros.set_data(self.fractions)

    def changing_artists(self) -> Iterator[tuple[Axes, Artist]]:
        """Yield what changes from frame to frame, each with its axes, in the order in which it is drawn."""
        yield self.axes, self.image
        for line in (*self.axes.lines, *self.axes.spines.values()):  # these lie on the image
            yield self.axes, line
        yield self.zero_axes, self.zeros
        for text in self.percentages:
            yield self.zero_axes, text
        for text in self.notes:
            yield self.axes, text


def _scales(
    captures: Sequence[Capture], quantity: str, layers: Sequence[int], scale: Scale
) -> tuple[dict[int, PanelScale], str]:
    """Return the scale of each layer, all with the same positions, and the label of the axis."""
    by_layer = {
        layer: [capture.histograms[layer, quantity] for capture in captures if (layer, quantity) in capture.histograms]
        for layer in layers
    }
    if scale == "symlog":
        shared = panel_scale([histogram for each in by_layer.values() for histogram in each], scale)
        return dict.fromkeys(layers, shared), shared.label
    magnitudes = {layer: _largest_magnitude(histograms) for layer, histograms in by_layer.items()}
    negative = any((h.minimum or 0) < 0 for histograms in by_layer.values() for h in histograms)
    positions = np.linspace(-1 if negative else 0, 1, BINS + 1)
    ticks = tuple((tick, f"{tick:g}".replace("-", "−")) for tick in (-1, -0.5, 0, 0.5, 1) if tick >= positions[0])
    scales = {layer: PanelScale(positions * magnitudes[layer], positions, ticks) for layer in layers}
    return scales, "value / largest magnitude of the layer"


def _map_axes(axes: Axes, scale: PanelScale, names: Sequence[str], label: str) -> Axes:
    style_axes(axes)
    axes.tick_params(labelsize=FONT)
    axes.tick_params(axis="y", length=0)
    axes.set_xticks([position for position, _ in scale.ticks], [label for _, label in scale.ticks])
    axes.set_xticks(scale.minor, minor=True)
    axes.set_yticks(np.arange(len(names)) + 0.5, names)
    axes.set_xlabel(label, fontsize=FONT + 1, color=INK, labelpad=2)
    for end in scale.linear_part or ():
        axes.axvline(end, color=FAINT, linewidth=0.6, linestyle=":")
    return axes


def _bar_axes(axes: Axes, rows: int) -> Axes:
    """Return axes for horizontal bars from 0 to 1, beside the rows, without ticks."""
    axes.set_xlim(0, 1)
    axes.set_ylim(rows, 0)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.set_facecolor(BAND)
    return axes


def _column(
    axes: Axes, texts: Sequence[str], inches: float, align: Literal["left", "right"], colour: str, row: float = 0.5
) -> list[Text]:
    """Return texts in rows that begin with the given one, so many inches to the right of the axes."""
    transform = axes.get_yaxis_transform()
    shifted = transform + ScaledTranslation(inches, 0, axes.figure.dpi_scale_trans)
    return [
        axes.text(1, row + index, text, transform=shifted, ha=align, va="center", fontsize=FONT, color=colour)
        for index, text in enumerate(texts)
    ]


def _largest_magnitude(histograms: Sequence[Histogram]) -> float:
    extremes = [abs(end) for h in histograms for end in (h.minimum, h.maximum) if end is not None]
    return max(extremes, default=0.0) or 1.0


def _colours(histogram: Histogram, scale: PanelScale) -> NDArray[np.float64]:
    """Return the colour of each bin, from 0 for no value to 1 for the highest bar of the layer."""
    linear = scale.linear_part is None
    bars, _ = heights(histogram, scale) if linear else densities(histogram, scale)
    highest = float(bars.max()) or 1.0
    if linear:
        return bars / highest
    with np.errstate(divide="ignore"):
        logarithms = np.log10(bars / highest)
    return np.maximum(1 + logarithms / DENSITY_DECADES, np.float64(0))
