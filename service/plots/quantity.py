"""A quantity over the layers: a still of one capture, or a GIF of many."""

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from normlab.spec.quantities import Quantity
from normlab.store.records import Capture
from service.plots.encode import DPI, ImageFormat, empty_figure, encode
from service.plots.gif import gif
from service.plots.grid import COLUMNS, Panel, legend, panels
from service.plots.scales import Axis, Scale
from service.plots.style import FAINT, INK, literal

WIDTH = 12  # inches
MAX_FRAMES = 400  # of a GIF: it lasts 48 s
MAX_PIXELS = 365_000_000  # of all frames of a GIF, each held as a byte while it is made: 400 frames of six layers


def quantity_still(
    captures: Sequence[Capture], quantity: Quantity, *, index: int, heading: str, axis: Axis = "fixed",
    scale: Scale = "linear", image_format: ImageFormat = "png",
) -> bytes:  # fmt: skip
    """Draw one capture, captures[index], as PNG or SVG. With axis "fixed" its axes are those of the GIF of all.

    Raises: ValueError if there is no capture, or none of this quantity.
    """
    _require_captures(captures, quantity)
    frame = _Frame(captures if axis == "fixed" else [captures[index]], quantity, heading, scale)
    frame.show(captures, index)
    return encode(frame.figure, image_format)


def quantity_gif(
    captures: Sequence[Capture], quantity: Quantity, *, heading: str, axis: Axis = "fixed", scale: Scale = "linear",
    max_frames: int = MAX_FRAMES, max_pixels: int = MAX_PIXELS,
) -> bytes:  # fmt: skip
    """Draw the captures as a GIF, one frame each.

    If these are more than max_frames, or their frames have more than max_pixels together, as many as allowed are drawn:
    the first, the last, and others at even distances.

    Raises: ValueError if there is no capture, or none of this quantity.
    """
    _require_captures(captures, quantity)
    pixels_per_frame = WIDTH * DPI * _height(captures, quantity) * DPI
    count = min(len(captures), max(2, min(max_frames, int(max_pixels / pixels_per_frame))))
    indices = sorted({round(index) for index in np.linspace(0, len(captures) - 1, count)})
    if axis == "fixed":
        return gif(_animated(_Frame(captures, quantity, heading, scale), captures, indices))
    return gif(_redrawn(captures, index, quantity, heading, scale) for index in indices)


class _Frame:
    """A figure whose axes fit the captures in range_of. Its panels show one capture at a time."""

    def __init__(self, range_of: Sequence[Capture], quantity: Quantity, heading: str, scale: Scale) -> None:
        height = _height(range_of, quantity)
        self.quantity = quantity
        self.figure: Figure = empty_figure(WIDTH, height)
        self.panels: dict[int, Panel] = panels(self.figure, range_of, quantity.name, scale=scale)
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

    def show(self, captures: Sequence[Capture], index: int) -> None:
        """Put captures[index] into the panels, and its epoch into the corner."""
        capture = captures[index]
        for layer, panel in self.panels.items():
            if (layer, self.quantity.name) in capture.histograms:
                panel.show(capture.histograms[layer, self.quantity.name], layer)
        several = any(other.epoch == capture.epoch for other in captures if other is not capture)
        step = f", step {capture.step:,}" if several else ""
        self.epoch.set_text(f"epoch {capture.epoch} of {captures[-1].epoch}{step}")

    def canvas(self) -> FigureCanvasAgg:
        """Return the canvas that the figure is drawn on."""
        canvas = self.figure.canvas
        assert isinstance(canvas, FigureCanvasAgg)
        return canvas


def _height(captures: Sequence[Capture], quantity: Quantity) -> float:
    """Return the height, in inches, of a frame with a panel for each layer."""
    layers = {layer for capture in captures for layer, name in capture.histograms if name == quantity.name}
    return 1.4 + 3.1 * -(-len(layers) // COLUMNS)


def _animated(frame: _Frame, captures: Sequence[Capture], indices: Sequence[int]) -> Iterator[Image.Image]:
    """Yield frames that share their axes. What does not change is drawn once and copied into every frame."""
    changing = [(panel.axes, artist) for panel in frame.panels.values() for artist in panel.changing_artists()]
    for _, artist in changing:
        artist.set_animated(True)
    frame.epoch.set_animated(True)
    canvas = frame.canvas()
    canvas.draw()
    background = canvas.copy_from_bbox(frame.figure.bbox)
    for index in indices:
        canvas.restore_region(background)
        frame.show(captures, index)
        for axes, artist in changing:
            axes.draw_artist(artist)
        frame.figure.draw_artist(frame.epoch)
        yield _image(canvas)


def _redrawn(captures: Sequence[Capture], index: int, quantity: Quantity, heading: str, scale: Scale) -> Image.Image:
    """Return a frame with axes of its own."""
    frame = _Frame([captures[index]], quantity, heading, scale)
    frame.show(captures, index)
    canvas = frame.canvas()
    canvas.draw()
    return _image(canvas)


def _image(canvas: FigureCanvasAgg) -> Image.Image:
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[:, :, :3].copy())


def _require_captures(captures: Sequence[Capture], quantity: Quantity) -> None:
    if not any(name == quantity.name for capture in captures for _, name in capture.histograms):
        raise ValueError(f"no capture of {quantity.name} is recorded, so there is nothing to draw yet")
