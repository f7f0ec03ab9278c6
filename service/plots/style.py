"""The style of figures: colours, axes and words."""

from matplotlib.axes import Axes

from normlab.spec.variants import VARIANTS
from normlab.store.histograms import Histogram

INK, FAINT = "#222222", "#7a7a7a"
# Okabe and Ito's blue and vermillion, which people with any kind of colour vision can tell apart.
VALUES, ZEROS = "#0072B2", "#D55E00"
TRAIN, TEST = "#0072B2", "#D55E00"
BAND, LINEAR_PART = "#f0f0f0", "#c4c4c4"  # the linear part of an axis, and its darker entry in the key


def style_axes(axes: Axes) -> None:
    """Leave two of the four spines, and make the ticks faint."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(labelsize=9, labelcolor=INK, length=4, color=FAINT)
    axes.tick_params(which="minor", length=2, color=FAINT)


def variant_name(variant: str) -> str:
    """Return what figures call a variant."""
    return VARIANTS[variant].title


def percentage(part: int, whole: int) -> str:
    """Return a fraction in per cent. Only none is "0 %", and only all is "100 %"."""
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


def histogram_notes(histogram: Histogram) -> list[str]:
    """Return what a panel says of a histogram that its bars cannot show, one remark a line."""
    infinities = histogram.positive_infinities + histogram.negative_infinities
    notes = [f"{count:,} {kind}" for count, kind in ((histogram.nans, "NaN"), (infinities, "Inf")) if count]
    if histogram.resolution_is_coarse:
        notes.append(f"stored bins are {histogram.resolution:.2g} std wide")
    return notes
