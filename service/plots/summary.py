"""The summary: one capture of the article's four quantities, as two by two blocks."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from normlab.spec.quantities import ARTICLE_QUANTITIES, QUANTITIES
from normlab.store.records import Capture
from service.plots.block import block, block_height, key_of
from service.plots.captions import NO_CAPTIONS, Captions
from service.plots.encode import ImageFormat, empty_figure, encode
from service.plots.header import Header
from service.plots.layout import MAX_PANELS, Area, columns_of, layers_of
from service.plots.scales import Scale
from service.plots.style import INK

BLOCK_WIDTHS = {1: 6.0, 2: 7.5, 3: 9.0}  # by the number of columns of panels, in inches
PANEL_HEIGHT, TITLE_HEIGHT = 2.55, 0.45  # inches
BELOW = 0.1  # the blocks, in inches


def summary_still(
    capture: Capture, *, heading: str, notes: Sequence[str] = (), captions: Captions = NO_CAPTIONS,
    scale: Scale = "linear", image_format: ImageFormat = "png",
) -> bytes:  # fmt: skip
    """Draw four blocks, each with the layers of a quantity.

    notes: warnings below the heading. captions: the kind and shape of each layer.
    Raises: ValueError if one of the quantities was not captured.
    """
    return encode(summary_figure(capture, heading, notes, captions, scale), image_format)


def summary_figure(capture: Capture, heading: str, notes: Sequence[str], captions: Captions, scale: Scale) -> Figure:
    """Return the summary as a figure that is as large as its number of layers needs."""
    captured = {name for _, name in capture.histograms}
    if missing := [name for name in ARTICLE_QUANTITIES if name not in captured]:
        raise ValueError(f"the summary needs {', '.join(missing)}, which was not captured")
    layers = len(layers_of([capture], ARTICLE_QUANTITIES[0]))
    block_width = BLOCK_WIDTHS[3 if layers > MAX_PANELS else columns_of(layers)]
    header = Header.of(f"Epoch {capture.epoch}", heading, notes, width=2 * block_width, key=key_of(layers, scale))
    height = header.height + BELOW + 2 * (TITLE_HEIGHT + block_height(layers, PANEL_HEIGHT))
    figure = empty_figure(2 * block_width, height)
    header.draw(figure)
    blocks = Area(0, BELOW, 2 * block_width, height - header.height - BELOW)
    for index, name in enumerate(ARTICLE_QUANTITIES):
        area = blocks.cell(index, 2, 2)
        title, place = f"{QUANTITIES[name].title}   {QUANTITIES[name].symbol}", area.top - TITLE_HEIGHT / 2
        figure.text((area.left + 0.36) / (2 * block_width), place / height, title, fontsize=14, color=INK, va="center")
        inner = area.inside(left=0.1, right=0.1, top=TITLE_HEIGHT)
        block(figure, inner, [capture], name, scale=scale, captions=captions, font=10).show(capture)
    return figure
