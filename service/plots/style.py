"""How figures look: colours, words, and the handling of matplotlib that every figure shares."""

import io
import threading
from typing import Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

ImageFormat = Literal["png", "svg"]

DPI = 100
INK, FAINT = "#222222", "#8a8a8a"
# Okabe and Ito's blue and vermillion: told apart with every kind of colour vision.
VALUES, ZEROS = "#0072B2", "#D55E00"
TRAIN, TEST = "#0072B2", "#D55E00"

# The study's own colours, from the article; then ones of Okabe and Ito's and of Tol's that differ from those.
VARIANT_COLOURS = {
    "none": "#1f77b4",
    "batch": "#ff7f0e",
    "layer": "#2ca02c",
    "instance": "#d62728",
    "box_cox": "#9467bd",
    "group": "#56b4e9",
    "rms": "#cc79a7",
    "filter_response": "#009e73",
    "range": "#000000",
    "yeo_johnson": "#882255",
    "dynamic_tanh": "#999933",
    "weight_standardization": "#8c564b",
}
VARIANT_NAMES = {
    "box_cox": "Box-Cox",
    "rms": "RMS",
    "filter_response": "filter response",
    "yeo_johnson": "Yeo-Johnson",
    "dynamic_tanh": "dynamic tanh",
    "weight_standardization": "weight standardization",
}
MAX_NAME_LENGTH = 32  # characters

_drawing_svg = threading.Lock()


def figure(width: float, height: float) -> Figure:
    """An empty figure of width × height inches, drawn by Agg; never pyplot's, so threads do not meet."""
    made = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(made)
    return made


def plain(axes: Axes) -> None:
    """Two spines, quiet ticks."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(labelsize=9, labelcolor=INK, length=4, color=FAINT)
    axes.tick_params(which="minor", length=2, color=FAINT)


def encode(drawn: Figure, image_format: ImageFormat) -> bytes:
    """The figure's bytes, the same for the same figure: nothing of the time or the software is in them."""
    out = io.BytesIO()
    if image_format == "png":
        drawn.savefig(out, format="png", metadata={"Software": None})
    else:
        # The salt of an SVG's ids is a global setting of matplotlib's, so one SVG is written at a time.
        with _drawing_svg, mpl.rc_context({"svg.hashsalt": "normlab"}):
            drawn.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()


def short(name: str) -> str:
    """A user's name as far as a figure has room for it."""
    return name if len(name) <= MAX_NAME_LENGTH else name[: MAX_NAME_LENGTH - 1] + "…"


def literal(text: str) -> str:
    """Words as matplotlib draws them letter by letter: a dollar in them begins no formula."""
    return text.replace("$", r"\$")


def variant_name(variant: str) -> str:
    """What a figure calls a variant."""
    return VARIANT_NAMES.get(variant, variant)


def share(part: int, whole: int) -> str:
    """An exact share in per cent; only none is "0 %", only all is "100 %"."""
    if part == 0 or whole == 0:
        return "0 %"
    if part == whole:
        return "100 %"
    percent = 100 * part / whole
    if percent < 0.05:
        return "< 0.1 %"
    if percent > 99.95:
        return "> 99.9 %"
    return f"{percent:.1f} %"
