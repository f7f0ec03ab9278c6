"""A block: the layers of one quantity, as a grid of panels or, of more than twelve layers, as a heat map."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from normlab.store.records import Capture
from service.plots.captions import Captions
from service.plots.grid import Grid
from service.plots.heat_map import HeatMap
from service.plots.layout import MAX_PANELS, Area, layers_of, rows_of
from service.plots.scales import Scale
from service.plots.style import LINEAR_PART, VALUES, ZEROS

ROW_INCHES = 0.19  # of a heat map
MAP_MARGINS = 0.75  # above and below its rows, in inches


def block(
    figure: Figure, area: Area, captures: Sequence[Capture], quantity: str, *, scale: Scale, captions: Captions,
    font: float,
) -> Grid | HeatMap:  # fmt: skip
    """Return an empty block, whose axes fit every one of the captures. font: the size of a panel's title, in points."""
    if len(layers_of(captures, quantity)) > MAX_PANELS:
        return HeatMap(figure, area, captures, quantity, scale=scale, captions=captions)
    return Grid(figure, area, captures, quantity, scale=scale, captions=captions, font=font)


def block_height(layers: int, panel_height: float) -> float:
    """Return the height of a block of so many layers, in inches. panel_height: of a row of panels."""
    return ROW_INCHES * layers + MAP_MARGINS if layers > MAX_PANELS else panel_height * rows_of(layers)


def key_of(layers: int, scale: Scale) -> tuple[tuple[str, str], ...]:
    """Return the entries of a figure's key, each a text and its colour: what a bar or a colour of a block is."""
    zeros = ("■ exact zeros", ZEROS)
    if layers > MAX_PANELS:
        if scale == "linear":
            return ("colour: share of the values, relative to the layer's fullest bin", VALUES), zeros
        return ("colour: density, from 10⁻³ of the layer's highest to the highest", VALUES), zeros
    values = ("■ non-zero values", VALUES)
    return (values, zeros) if scale == "linear" else (("■ linear part of the axis", LINEAR_PART), values, zeros)
