"""A figure's start and end: an empty figure of matplotlib's, and a figure as the bytes of an image."""

import io
import threading
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import Normal
from matplotlib.text import Text

from service.plots.text import is_plain

ImageFormat = Literal["png", "svg", "pdf"]

DPI = 100

# Without the time and the versions. An SVG keeps its text as text, and a PDF has the fonts' own outlines in it.
_METADATA: dict[ImageFormat, dict[str, Any]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
_SETTINGS: Any = {"svg.hashsalt": "normlab", "svg.fonttype": "none", "pdf.fonttype": 42}

_settings_lock = threading.Lock()


def empty_figure(width: float, height: float) -> Figure:
    """Return a figure of width × height inches, drawn by Agg. Pyplot's figures have global state."""
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def encode(figure: Figure, image_format: ImageFormat) -> bytes:
    """Return the figure's bytes. They hold neither the time nor a version, so equal figures have equal bytes."""
    out = io.BytesIO()
    if image_format == "png":
        figure.savefig(out, format="png", metadata=_METADATA["png"])
    else:
        # These settings are global in matplotlib, so one figure with text is written at a time.
        with _settings_lock, mpl.rc_context(_SETTINGS):
            if image_format == "pdf":
                _draw_unusual_text_as_shapes(figure)
            figure.savefig(out, format=image_format, metadata=_METADATA[image_format])
    return out.getvalue()


def _draw_unusual_text_as_shapes(figure: Figure) -> None:
    """Replace the text that needs another font than the figures' own, or a change of direction, by its outlines.

    A PDF of matplotlib's leaves the glyphs of some fonts out, such as OpenType's with PostScript outlines.
    """
    for text in figure.findobj(Text):
        if isinstance(text, Text) and not is_plain(text.get_text()):
            text.set_path_effects([Normal()])
