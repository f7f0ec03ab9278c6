"""Curves over epochs: an experiment's loss and accuracy, and several experiments' accuracies in one figure."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from normlab.spec.variants import VARIANTS
from normlab.store.records import EpochMetrics
from service.plots.encode import ImageFormat, empty_figure, encode
from service.plots.style import FAINT, INK, TEST, TRAIN, literal, style_axes

LINE_STYLES = ("-", "--", ":", "-.")
MAX_ENTRIES_PER_COLUMN = 18


@dataclass(frozen=True)
class Run:
    """One curve of a comparison: the metrics of an experiment, and the name and variant that it is drawn by."""

    label: str
    variant: str
    metrics: Sequence[EpochMetrics]


def loss_curves(metrics: Sequence[EpochMetrics], *, heading: str, image_format: ImageFormat = "png") -> bytes:
    """Draw the train and test loss. An epoch whose loss is not finite is a gap. Raises ValueError without an epoch."""
    figure, axes = _axes(metrics, "Loss", heading, "cross-entropy (nats)")
    _line(axes, metrics, lambda row: row.train_loss, "train", TRAIN, "-")
    _line(axes, metrics, lambda row: row.test_loss, "test", TEST, "-")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=11)
    return encode(figure, image_format)


def accuracy_curves(metrics: Sequence[EpochMetrics], *, heading: str, image_format: ImageFormat = "png") -> bytes:
    """Draw the train and test accuracy in per cent. Raises ValueError without an epoch."""
    figure, axes = _axes(metrics, "Accuracy", heading, "accuracy")
    _line(axes, metrics, lambda row: 100 * row.train_accuracy, "train", TRAIN, "-")
    _line(axes, metrics, lambda row: 100 * row.test_accuracy, "test", TEST, "-")
    _per_cent(axes)
    axes.legend(frameon=False, fontsize=11)
    return encode(figure, image_format)


def accuracy_comparison(
    runs: Sequence[Run], split: Literal["train", "test"], *, heading: str, image_format: ImageFormat = "png"
) -> bytes:
    """Draw one curve per run, in the colour of its variant. Several runs of one variant differ in their dashes.

    Raises: ValueError without a run, or if no run has an epoch.
    """
    title = {"train": "Accuracy on the training images", "test": "Accuracy on the test images"}[split]
    figure, axes = _axes([row for run in runs for row in run.metrics], title, heading, "accuracy")
    styles_used: Counter[str] = Counter()
    for run in runs:
        colour = VARIANTS[run.variant].colour
        style = LINE_STYLES[styles_used[run.variant] % len(LINE_STYLES)]
        styles_used[run.variant] += 1
        label = literal(run.label)
        _line(axes, run.metrics, lambda row: 100 * getattr(row, f"{split}_accuracy"), label, colour, style)
    _per_cent(axes)
    _legend_beside(figure, axes, len(runs))
    return encode(figure, image_format)


def _legend_beside(figure: Figure, axes: Axes, entries: int) -> None:
    """Put a legend to the right of the axes and widen the figure by it, so that the axes keep their size."""
    columns = -(-entries // MAX_ENTRIES_PER_COLUMN)
    legend = axes.legend(frameon=False, fontsize=11, loc="upper left", bbox_to_anchor=(1.0, 1.0), ncols=columns)
    left, right = axes.get_position().x0 * figure.get_figwidth(), 7.2
    width = right + legend.get_window_extent().width / figure.dpi + 0.2
    figure.set_figwidth(width)
    figure.subplots_adjust(left=left / width, right=right / width)


def _axes(metrics: Sequence[EpochMetrics], title: str, heading: str, ylabel: str) -> tuple[Figure, Axes]:
    if not metrics:
        raise ValueError("no epoch is recorded, so there is nothing to draw yet")
    figure = empty_figure(9, 5.5)
    axes = figure.subplots()
    style_axes(axes)
    axes.tick_params(labelsize=11)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    for text, height, size, colour in ((title, 35, 15, INK), (literal(heading), 15, 10, FAINT)):
        axes.annotate(text, (0, 1), (-45, height), "axes fraction", "offset points", fontsize=size, color=colour)
    axes.set_xlabel("epoch", fontsize=12, color=INK)
    axes.set_ylabel(ylabel, fontsize=12, color=INK)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    figure.subplots_adjust(left=0.1, right=0.97, top=0.86, bottom=0.13)
    return figure, axes


def _line(
    axes: Axes,
    metrics: Sequence[EpochMetrics],
    value: Callable[[EpochMetrics], float | None],
    label: str,
    colour: str,
    style: str,
) -> None:
    """Draw a curve. If there are few epochs, each has a dot, so that a single one is visible."""
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
