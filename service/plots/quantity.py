"""A quantity over the layers: a still of one capture, or a GIF of many."""

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from normlab.spec.quantities import Quantity
from normlab.store.records import Capture
from service.plots.block import block, block_height, key_of
from service.plots.captions import NO_CAPTIONS, Captions
from service.plots.encode import DPI, ImageFormat, empty_figure, encode
from service.plots.gif import gif
from service.plots.header import Header
from service.plots.layout import Area, layers_of
from service.plots.scales import Axis, Scale

WIDTH, PANEL_HEIGHT = 12, 3.375  # inches
MAX_FRAMES = 400  # of a GIF: it lasts 48 s
MAX_PIXELS = 365_000_000  # of all frames of a GIF, each held as a byte while it is made: 400 frames of six layers


def quantity_still(
    captures: Sequence[Capture], quantity: Quantity, *, index: int, heading: str, notes: Sequence[str] = (),
    captions: Captions = NO_CAPTIONS, axis: Axis = "fixed", scale: Scale = "linear", image_format: ImageFormat = "png",
) -> bytes:  # fmt: skip
    """Draw one capture, captures[index]. With axis "fixed" its axes are those of the GIF of all.

    notes: warnings below the heading. captions: the kind and shape of each layer.
    Raises: ValueError if there is no capture, or none of this quantity.
    """
    _require_captures(captures, quantity)
    header = _header(captures, quantity, heading, notes, scale)
    frame = _Frame(captures if axis == "fixed" else [captures[index]], quantity, header, captions, scale)
    frame.show(captures, index)
    return encode(frame.figure, image_format)


def quantity_gif(
    captures: Sequence[Capture], quantity: Quantity, *, heading: str, notes: Sequence[str] = (),
    captions: Captions = NO_CAPTIONS, axis: Axis = "fixed", scale: Scale = "linear", max_frames: int = MAX_FRAMES,
    max_pixels: int = MAX_PIXELS,
) -> bytes:  # fmt: skip
    """Draw the captures as a GIF, one frame each.

    If these are more than max_frames, or their frames have more than max_pixels together, as many as allowed are drawn:
    the first, the last, and others at even distances.

    Raises: ValueError if there is no capture, or none of this quantity.
    """
    _require_captures(captures, quantity)
    header = _header(captures, quantity, heading, notes, scale)
    pixels_per_frame = WIDTH * DPI * _height(captures, quantity, header) * DPI
    count = min(len(captures), max(2, min(max_frames, int(max_pixels / pixels_per_frame))))
    indices = sorted({round(index) for index in np.linspace(0, len(captures) - 1, count)})
    if axis == "fixed":
        return gif(_animated(_Frame(captures, quantity, header, captions, scale), captures, indices))
    return gif(_redrawn(captures, index, quantity, header, captions, scale) for index in indices)


class _Frame:
    """A figure whose axes fit the captures in range_of. It shows one capture at a time."""

    def __init__(
        self, range_of: Sequence[Capture], quantity: Quantity, header: Header, captions: Captions, scale: Scale
    ) -> None:
        height = _height(range_of, quantity, header)
        self.figure: Figure = empty_figure(WIDTH, height)
        area = Area(0.1, 0.05, WIDTH - 0.2, height - header.height - 0.05)
        self.block = block(self.figure, area, range_of, quantity.name, scale=scale, captions=captions, font=11)
        self.epoch: Text = header.draw(self.figure)

    def show(self, captures: Sequence[Capture], index: int) -> None:
        """Put captures[index] into the block, and its epoch into the corner."""
        capture = captures[index]
        self.block.show(capture)
        several = any(other.epoch == capture.epoch for other in captures if other is not capture)
        step = f", step {capture.step:,}" if several else ""
        self.epoch.set_text(f"epoch {capture.epoch} (last: {captures[-1].epoch}){step}")

    def canvas(self) -> FigureCanvasAgg:
        """Return the canvas that the figure is drawn on."""
        canvas = self.figure.canvas
        assert isinstance(canvas, FigureCanvasAgg)
        return canvas


def _header(
    captures: Sequence[Capture], quantity: Quantity, heading: str, notes: Sequence[str], scale: Scale
) -> Header:
    key = key_of(len(layers_of(captures, quantity.name)), scale)
    return Header.of(f"{quantity.title}   {quantity.symbol}", heading, notes, width=WIDTH, key=key)


def _height(captures: Sequence[Capture], quantity: Quantity, header: Header) -> float:
    """Return the height, in inches, of a frame."""
    return header.height + block_height(len(layers_of(captures, quantity.name)), PANEL_HEIGHT) + 0.05


def _animated(frame: _Frame, captures: Sequence[Capture], indices: Sequence[int]) -> Iterator[Image.Image]:
    """Yield frames that share their axes. What does not change is drawn once and copied into every frame."""
    changing = list(frame.block.changing_artists())
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


def _redrawn(
    captures: Sequence[Capture], index: int, quantity: Quantity, header: Header, captions: Captions, scale: Scale
) -> Image.Image:
    """Return a frame with axes of its own."""
    frame = _Frame([captures[index]], quantity, header, captions, scale)
    frame.show(captures, index)
    canvas = frame.canvas()
    canvas.draw()
    return _image(canvas)


def _image(canvas: FigureCanvasAgg) -> Image.Image:
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[:, :, :3].copy())


def _require_captures(captures: Sequence[Capture], quantity: Quantity) -> None:
    if not any(name == quantity.name for capture in captures for _, name in capture.histograms):
        raise ValueError(f"no capture of {quantity.name} is recorded, so there is nothing to draw yet")
