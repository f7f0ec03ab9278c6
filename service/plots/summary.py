"""The summary: one capture of the article's four quantities, as a grid of two by two blocks."""

from normlab.spec.quantities import ARTICLE_QUANTITIES, QUANTITIES
from normlab.store.records import Capture
from service.plots.encode import ImageFormat, empty_figure, encode
from service.plots.grid import legend, panels
from service.plots.scales import Scale
from service.plots.style import FAINT, INK, literal


def summary_still(
    capture: Capture, *, heading: str, scale: Scale = "linear", image_format: ImageFormat = "png"
) -> bytes:
    """Draw four blocks, each the grid of a quantity. Raises ValueError if one of them was not captured."""
    captured = {name for _, name in capture.histograms}
    if missing := [name for name in ARTICLE_QUANTITIES if name not in captured]:
        raise ValueError(f"the summary needs {', '.join(missing)}, which was not captured")
    figure = empty_figure(18, 12)
    figure.text(0.03, 0.972, f"epoch {capture.epoch}", fontsize=16, color=INK, va="center")
    figure.text(0.1, 0.972, literal(heading), fontsize=12, color=FAINT, va="center")
    legend(figure, 0.985, 0.972)
    blocks = figure.add_gridspec(3, 2, height_ratios=(0.08, 1, 1))
    for index, name in enumerate(ARTICLE_QUANTITIES):
        block = figure.add_subfigure(blocks[1 + index // 2, index % 2])
        block.set_facecolor("none")
        quantity = QUANTITIES[name]
        block.text(0.06, 0.95, f"{quantity.title}   {quantity.symbol}", fontsize=14, color=INK, va="center")
        for layer, panel in panels(block, [capture], name, scale=scale).items():
            panel.show(capture.histograms[layer, name], layer)
        block.subplots_adjust(left=0.08, right=0.985, top=0.85, bottom=0.1, wspace=0.34, hspace=0.48)
    return encode(figure, image_format)
