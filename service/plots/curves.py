"""Curves over epochs: an experiment's loss and accuracy, and several experiments' accuracies in one figure."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from normlab.store.records import EpochMetrics
from service.plots.style import (
    FAINT,
    INK,
    TEST,
    TRAIN,
    VARIANT_COLOURS,
    ImageFormat,
    encode,
    figure,
    literal,
    plain,
)

LINE_STYLES = ("-", "--", ":", "-.")
ENTRIES_A_COLUMN = 18


@dataclass(frozen=True)
class Run:
    """One curve of a comparison."""

    label: str
    variant: str
    metrics: Sequence[EpochMetrics]


def loss_curves(metrics: Sequence[EpochMetrics], *, heading: str, image_format: ImageFormat = "png") -> bytes:
    """Train and test loss; an epoch whose loss was not finite is a gap. Raises ValueError without an epoch."""
    drawn, axes = _axes(metrics, "Loss", heading, "cross-entropy (nats)")
    _line(axes, metrics, lambda row: row.train_loss, "train", TRAIN, "-")
    _line(axes, metrics, lambda row: row.test_loss, "test", TEST, "-")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=11)
    return encode(drawn, image_format)


def accuracy_curves(metrics: Sequence[EpochMetrics], *, heading: str, image_format: ImageFormat = "png") -> bytes:
    """Train and test accuracy in per cent. Raises ValueError without an epoch."""
    drawn, axes = _axes(metrics, "Accuracy", heading, "accuracy")
    _line(axes, metrics, lambda row: 100 * row.train_accuracy, "train", TRAIN, "-")
    _line(axes, metrics, lambda row: 100 * row.test_accuracy, "test", TEST, "-")
    _per_cent(axes)
    axes.legend(frameon=False, fontsize=11)
    return encode(drawn, image_format)


def accuracy_comparison(
    runs: Sequence[Run], split: Literal["train", "test"], *, heading: str, image_format: ImageFormat = "png"
) -> bytes:
    """One curve a run, in the article's colours by variant; several runs of one variant differ in their dashes.

    Raises: ValueError without a run, or if none has an epoch.
    """
    title = {"train": "Accuracy on the training images", "test": "Accuracy on the test images"}[split]
    drawn, axes = _axes([row for run in runs for row in run.metrics], title, heading, "accuracy")
    seen: Counter[str] = Counter()
    for run in runs:
        colour = VARIANT_COLOURS[run.variant]
        style = LINE_STYLES[seen[run.variant] % len(LINE_STYLES)]
        seen[run.variant] += 1
        label = literal(run.label)
        _line(axes, run.metrics, lambda row: 100 * getattr(row, f"{split}_accuracy"), label, colour, style)
    _per_cent(axes)
    _legend_beside(drawn, axes, len(runs))
    return encode(drawn, image_format)


def _legend_beside(drawn: Figure, axes: Axes, entries: int) -> None:
    """A legend to the right of axes that keep their size: the figure is as wide as both need."""
    columns = -(-entries // ENTRIES_A_COLUMN)
    legend = axes.legend(frameon=False, fontsize=11, loc="upper left", bbox_to_anchor=(1.0, 1.0), ncols=columns)
    left, right = axes.get_position().x0 * drawn.get_figwidth(), 7.2
    width = right + legend.get_window_extent().width / drawn.dpi + 0.2
    drawn.set_figwidth(width)
    drawn.subplots_adjust(left=left / width, right=right / width)


def _axes(metrics: Sequence[EpochMetrics], title: str, heading: str, ylabel: str) -> tuple[Figure, Axes]:
    if not metrics:
        raise ValueError("there is no epoch to draw yet")
    drawn = figure(9, 5.5)
    axes = drawn.subplots()
    plain(axes)
    axes.tick_params(labelsize=11)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    for words, height, size, colour in ((title, 35, 15, INK), (literal(heading), 15, 10, FAINT)):
        axes.annotate(words, (0, 1), (-45, height), "axes fraction", "offset points", fontsize=size, color=colour)
    axes.set_xlabel("epoch", fontsize=12, color=INK)
    axes.set_ylabel(ylabel, fontsize=12, color=INK)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    drawn.subplots_adjust(left=0.1, right=0.97, top=0.86, bottom=0.13)
    return drawn, axes


def _line(
    axes: Axes,
    metrics: Sequence[EpochMetrics],
    value: Callable[[EpochMetrics], float | None],
    label: str,
    colour: str,
    style: str,
) -> None:
    """A curve; where there are few epochs each has its dot, so that a single one is seen."""
    values = [value(row) for row in metrics]
    heights = np.array([np.nan if v is None else v for v in values], dtype=np.float64)
    marker = "o" if len(metrics) <= 30 else None
    epochs = [row.epoch for row in metrics]
    axes.plot(
        epochs, heights, style, color=colour, label=label, linewidth=1.8, marker=marker, markersize=3.5, clip_on=False
    )


def _per_cent(axes: Axes) -> None:
    axes.set_ylim(0, 100)
    axes.yaxis.set_major_formatter("{x:g} %")
