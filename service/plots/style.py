"""The style of figures: colours, axes and words."""

from matplotlib.axes import Axes

from normlab.spec.variants import VARIANTS

INK, FAINT = "#222222", "#8a8a8a"
# Okabe and Ito's blue and vermillion, which people with any kind of colour vision can tell apart.
VALUES, ZEROS = "#0072B2", "#D55E00"
TRAIN, TEST = "#0072B2", "#D55E00"

MAX_NAME_LENGTH = 32  # characters


def style_axes(axes: Axes) -> None:
    """Leave two of the four spines, and make the ticks faint."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(labelsize=9, labelcolor=INK, length=4, color=FAINT)
    axes.tick_params(which="minor", length=2, color=FAINT)


def short(name: str) -> str:
    """Return a user's name, shortened to what a figure has room for."""
    return name if len(name) <= MAX_NAME_LENGTH else name[: MAX_NAME_LENGTH - 1] + "…"


def literal(text: str) -> str:
    """Return text that matplotlib draws letter by letter: a dollar sign in it does not start a formula."""
    return text.replace("$", r"\$")


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
