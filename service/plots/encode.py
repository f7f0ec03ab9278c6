"""A figure's start and end: an empty figure of matplotlib's, and a figure as the bytes of an image."""

import io
import threading
from typing import Literal

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

ImageFormat = Literal["png", "svg"]

DPI = 100

_svg_lock = threading.Lock()


def empty_figure(width: float, height: float) -> Figure:
    """Return a figure of width × height inches, drawn by Agg. Pyplot's figures have global state."""
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def encode(figure: Figure, image_format: ImageFormat) -> bytes:
    """Return the figure's bytes. They hold neither the time nor a version, so equal figures have equal bytes."""
    out = io.BytesIO()
    if image_format == "png":
        figure.savefig(out, format="png", metadata={"Software": None})
    else:
        # The salt of an SVG's ids is a global setting of matplotlib's, so one SVG is written at a time.
        with _svg_lock, mpl.rc_context({"svg.hashsalt": "normlab"}):
            figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()
