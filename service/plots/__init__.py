"""Figures: records in, image bytes out. Pure functions that use matplotlib's Figure, never pyplot."""

from service.plots.captions import layer_captions
from service.plots.comparison import Run, accuracy_comparison
from service.plots.curves import accuracy_curves, loss_curves
from service.plots.encode import ImageFormat
from service.plots.quantity import MAX_FRAMES, quantity_gif, quantity_still
from service.plots.scales import Axis, Scale
from service.plots.style import variant_name
from service.plots.summary import summary_still
from service.plots.text import SEPARATOR, short

__all__ = [
    "MAX_FRAMES",
    "SEPARATOR",
    "Axis",
    "ImageFormat",
    "Run",
    "Scale",
    "accuracy_comparison",
    "accuracy_curves",
    "layer_captions",
    "loss_curves",
    "quantity_gif",
    "quantity_still",
    "short",
    "summary_still",
    "variant_name",
]
