"""A quantity over the layers: a still of one capture, or a GIF of all."""

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from normlab.spec.quantities import Quantity
from normlab.store.records import Capture
from service.plots.gif import gif
from service.plots.grid import COLUMNS, Panel, legend, panels
from service.plots.scales import Axis, Scale
from service.plots.style import DPI, FAINT, INK, ImageFormat, encode, figure, literal

WIDTH = 12  # inches
MAX_FRAMES = 400  # of a GIF: one lasts for 48 s
MAX_PIXELS = 365_000_000  # of all its frames, a byte each while it is made: 400 of the study's six layers


def quantity_still(
    captures: Sequence[Capture], quantity: Quantity, *, shown: int, heading: str, axis: Axis = "fixed",
    scale: Scale = "linear", image_format: ImageFormat = "png",
) -> bytes:  # fmt: skip
    """One capture, captures[shown], as PNG or SVG. With axis "fixed" the axes are those of the whole GIF.

    Raises: ValueError if there is no capture, or none of this quantity.
    """
    _check(captures, quantity)
    ranged = captures if axis == "fixed" else [captures[shown]]
    frame = _Frame(ranged, quantity, heading, scale)
    frame.show(captures, shown)
    return encode(frame.figure, image_format)


def quantity_gif(
    captures: Sequence[Capture], quantity: Quantity, *, heading: str, axis: Axis = "fixed", scale: Scale = "linear"
) -> bytes:
    """Every capture, a frame each; of more than MAX_FRAMES, or than have MAX_PIXELS together, as many, evenly chosen,
    the first and the last among them.

    Raises: ValueError if there is none, or none of this quantity.
    """
    _check(captures, quantity)
    pixels = WIDTH * DPI * _height(captures, quantity) * DPI
    most = max(2, min(MAX_FRAMES, int(MAX_PIXELS / pixels)))
    shown = sorted({round(place) for place in np.linspace(0, len(captures) - 1, min(len(captures), most))})
    if axis == "fixed":
        return gif(_animated(_Frame(captures, quantity, heading, scale), captures, shown))
    return gif(_redrawn(captures, place, quantity, heading, scale) for place in shown)


class _Frame:
    """The figure with its still parts drawn and its moving parts ready."""

    def __init__(self, ranged: Sequence[Capture], quantity: Quantity, heading: str, scale: Scale) -> None:
        height = _height(ranged, quantity)
        self.quantity = quantity
        self.figure: Figure = figure(WIDTH, height)
        self.panels: dict[int, Panel] = panels(self.figure, ranged, quantity.name, scale=scale)
        self.figure.subplots_adjust(
            left=0.075, right=0.985, top=1 - 1.05 / height, bottom=0.55 / height, wspace=0.24, hspace=0.36
        )
        self.figure.text(
            0.03, 1 - 0.3 / height, f"{quantity.title}   {quantity.symbol}", fontsize=16, color=INK, va="center"
        )
        self.figure.text(0.03, 1 - 0.62 / height, literal(heading), fontsize=11, color=FAINT, va="center")
        legend(self.figure, 0.985, 1 - 0.62 / height)
        self.epoch: Text = self.figure.text(
            0.985, 1 - 0.3 / height, "", fontsize=14, color=INK, ha="right", va="center"
        )

    def show(self, captures: Sequence[Capture], shown: int) -> None:
        """Put one capture in."""
        capture = captures[shown]
        for layer, panel in self.panels.items():
            if (layer, self.quantity.name) in capture.histograms:
                panel.show(capture.histograms[layer, self.quantity.name], layer)
        several = any(other.epoch == capture.epoch for other in captures if other is not capture)
        step = f", step {capture.step:,}" if several else ""
        self.epoch.set_text(f"epoch {capture.epoch} of {captures[-1].epoch}{step}")

    def canvas(self) -> FigureCanvasAgg:
        """What it is drawn on."""
        canvas = self.figure.canvas
        assert isinstance(canvas, FigureCanvasAgg)
        return canvas


def _height(captures: Sequence[Capture], quantity: Quantity) -> float:
    """Of a frame with a panel for each layer, in inches."""
    layers = {layer for capture in captures for layer, name in capture.histograms if name == quantity.name}
    return 1.4 + 3.1 * -(-len(layers) // COLUMNS)


def _animated(frame: _Frame, captures: Sequence[Capture], shown: Sequence[int]) -> Iterator[Image.Image]:
    """Frames by drawing the still parts once, and upon a copy of them only what moves."""
    moving = [(panel.axes, artist) for panel in frame.panels.values() for artist in panel.moving()]
    for _, artist in moving:
        artist.set_animated(True)
    frame.epoch.set_animated(True)
    canvas = frame.canvas()
    canvas.draw()
    still = canvas.copy_from_bbox(frame.figure.bbox)
    for place in shown:
        canvas.restore_region(still)
        frame.show(captures, place)
        for axes, artist in moving:
            axes.draw_artist(artist)
        frame.figure.draw_artist(frame.epoch)
        yield _image(canvas)


def _redrawn(
    captures: Sequence[Capture], shown: int, quantity: Quantity, heading: str, scale: Scale
) -> Image.Image:  # fmt: skip
    """A frame whose axes are its own."""
    frame = _Frame([captures[shown]], quantity, heading, scale)
    frame.show(captures, shown)
    canvas = frame.canvas()
    canvas.draw()
    return _image(canvas)


def _image(canvas: FigureCanvasAgg) -> Image.Image:
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[:, :, :3].copy())


def _check(captures: Sequence[Capture], quantity: Quantity) -> None:
    if not any(name == quantity.name for capture in captures for _, name in capture.histograms):
        raise ValueError(f"there is nothing of {quantity.name} to draw yet")
