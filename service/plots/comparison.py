"""The accuracies of several experiments in one figure, each as a curve that differs from every other."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from normlab.spec.variants import VARIANTS
from normlab.store.records import EpochMetrics
from service.plots.curves import LEFT, MAX_DOTS, RIGHT, WIDTH, curve_axes, heights_of, per_cent
from service.plots.encode import ImageFormat, encode
from service.plots.header import CODE_POINTS, Header
from service.plots.text import DrawableText, drawable

# The numbers of dashes and of markers have no common divisor, so their combinations repeat only after all 52. A curve
# of one epoch has no line, so every 13 curves the markers are also filled in another way.
DASHES = ("-", "--", ":", "-.")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "p", "h", "d")
FILLS = ("full", "none", "left", "top")
MAX_RUNS_PER_VARIANT = len(DASHES) * len(MARKERS)
MARKERS_PER_CURVE = 8  # of a curve of many epochs
MAX_ENTRIES_PER_COLUMN = 18


@dataclass(frozen=True)
class Run:
    """One curve of a comparison: the metrics of an experiment, and the name and variant that it is drawn by."""

    label: str
    variant: str
    metrics: Sequence[EpochMetrics]


def accuracy_comparison(
    runs: Sequence[Run], split: Literal["train", "test"], *, heading: str, notes: Sequence[str] = (),
    image_format: ImageFormat = "png",
) -> bytes:  # fmt: skip
    """Draw one curve per run, in the colour of its variant. Runs of one variant differ in their dashes and markers.

    Raises: ValueError without a run, if no run has an epoch, or if one variant has more than 52 runs.
    """
    title = {"train": "Accuracy on the training images", "test": "Accuracy on the test images"}[split]
    if max(Counter(run.variant for run in runs).values(), default=0) > MAX_RUNS_PER_VARIANT:
        raise ValueError(f"more than {MAX_RUNS_PER_VARIANT} curves of one variant cannot be told apart")
    labels = [drawable(run.label) for run in runs]
    named = [CODE_POINTS] if any(label.code_points for label in labels) else []
    header = Header.of(title, heading, [*notes, *named], width=WIDTH)
    figure, axes = curve_axes([row for run in runs for row in run.metrics], header, "accuracy")
    of_variant: Counter[str] = Counter()
    for place, run in enumerate(runs):
        heights = heights_of(run.metrics, lambda row: 100 * getattr(row, f"{split}_accuracy"))
        style = run_style(of_variant[run.variant], len(run.metrics), place / len(runs))
        colour = VARIANTS[run.variant].colour
        axes.plot([row.epoch for row in run.metrics], heights, color=colour, label=place, clip_on=False, **style)
        of_variant[run.variant] += 1
    per_cent(axes)
    _legend_beside(figure, axes, labels)
    return encode(figure, image_format)


def run_style(number: int, epochs: int, offset: float) -> dict[str, Any]:
    """Return the line and markers of a variant's run with this number, from 0.

    The first run of a variant has no marker if it has many epochs. offset: a fraction, by which a curve's markers are
    moved along it, so that curves on top of each other show theirs in turn.
    """
    marker = MARKERS[number % len(MARKERS)]
    style = {
        "linestyle": DASHES[number % len(DASHES)], "linewidth": 1.8, "marker": marker, "markersize": 6,
        "fillstyle": FILLS[number // len(MARKERS)], "markeredgewidth": 1.0,
    }  # fmt: skip
    if epochs > MAX_DOTS:
        step = epochs // MARKERS_PER_CURVE
        style |= {"markevery": (int(offset * step), step)} if number else {"marker": None}
    elif number == 0 and epochs > 1:
        style["markersize"] = 3.5
    return style


def _legend_beside(figure: Figure, axes: Axes, labels: Sequence[DrawableText]) -> None:
    """Put a legend to the right of the axes and widen the figure by it, so that the axes keep their size."""
    columns = -(-len(labels) // MAX_ENTRIES_PER_COLUMN)
    legend = axes.legend(
        frameon=False, fontsize=11, loc="upper left", bbox_to_anchor=(1.0, 1.0), ncols=columns, handlelength=3.2
    )
    for text, label in zip(legend.get_texts(), labels, strict=True):
        text.set(text=label.text, family=list(label.fonts))
    right = WIDTH - RIGHT
    width = right + legend.get_window_extent().width / figure.dpi + 0.2
    figure.set_figwidth(width)
    box = axes.get_position()
    axes.set_position((LEFT / width, box.y0, (right - LEFT) / width, box.height))
