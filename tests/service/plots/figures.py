"""What tests of figures do: decode an image, read the text of an SVG, and find texts that cover each other."""

import io

import numpy as np
from matplotlib.axis import Tick
from matplotlib.text import Text
from PIL import Image


def decoded(content):
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def frames(gif):
    image = decoded(gif)
    arrays = []
    for index in range(image.n_frames):
        image.seek(index)
        arrays.append(np.asarray(image.convert("RGB")).astype(int))
    return arrays


def texts_of(figure):
    """The texts that a figure draws, with their rectangles: left, bottom, right and top in pixels."""
    figure.canvas.draw()
    # matplotlib keeps labels of ticks that it does not draw: those outside the axes, and those of earlier positions.
    labels = {label for tick in figure.findobj(Tick) for label in (tick.label1, tick.label2)}
    drawn = {tick.label1 for axes in figure.axes for axis in (axes.xaxis, axes.yaxis) for tick in _drawn_ticks(axis)}
    texts = [text for text in figure.findobj(Text) if text.get_text().strip() and text not in labels - drawn]
    return [text.get_text() for text in texts], np.array([text.get_window_extent().extents for text in texts])


def covered(figure):
    """Pairs of texts that cover each other by more than a pixel, and texts that leave the figure."""
    names, boxes = texts_of(figure)
    left, bottom, right, top = (boxes[:, None, side] for side in range(4))
    wide = np.minimum(right, right.T) - np.maximum(left, left.T) > 1
    high = np.minimum(top, top.T) - np.maximum(bottom, bottom.T) > 1
    pairs = np.argwhere(np.triu(wide & high, 1))
    outside = (boxes[:, :2] < -1).any(1) | (boxes[:, 2:] > np.array(figure.bbox.extents[2:]) + 1).any(1)
    return [(names[a], names[b]) for a, b in pairs] + [names[index] for index in np.flatnonzero(outside)]


def _drawn_ticks(axis):
    low, high = sorted(axis.get_view_interval())
    return [tick for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()) if low <= tick.get_loc() <= high]
