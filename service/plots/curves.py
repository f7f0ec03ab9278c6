"""Curves over epochs: an experiment's loss and accuracy."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogFormatterSciNotation, LogLocator, MaxNLocator

from normlab.store.records import EpochMetrics
from service.plots.encode import ImageFormat, empty_figure, encode
from service.plots.header import Header
from service.plots.layout import Area
from service.plots.style import INK, TEST, TRAIN, style_axes

WIDTH, AXES_HEIGHT = 9, 3.88  # inches
ABOVE = 0.1  # between the header and the axes, in inches
LEFT, RIGHT, BELOW = 0.95, 0.25, 0.72  # of the axes, in inches
MAX_DOTS = 30  # a curve of more epochs has no dots
LOG_FROM = 1000  # the ratio of the largest to the smallest loss from which the axis is logarithmic

Metric = Callable[[EpochMetrics], float | None]


def loss_curves(
    metrics: Sequence[EpochMetrics], *, heading: str, notes: Sequence[str] = (), image_format: ImageFormat = "png"
) -> bytes:
    """Draw the train and test loss. An epoch whose loss is not finite is a gap. Raises ValueError without an epoch.

    Losses of very different sizes, as of a training that diverges, have a logarithmic axis.
    """
    figure, axes = curve_axes(metrics, Header.of("Loss", heading, notes, width=WIDTH), "cross-entropy (nats)")
    for label, value, colour in (("train", _train_loss, TRAIN), ("test", _test_loss, TEST)):
        _line(axes, metrics, value, label, colour)
    losses = [loss for row in metrics for loss in (row.train_loss, row.test_loss) if loss is not None]
    scale_losses(axes, losses)
    axes.legend(frameon=False, fontsize=11)
    return encode(figure, image_format)


def accuracy_curves(
    metrics: Sequence[EpochMetrics], *, heading: str, notes: Sequence[str] = (), image_format: ImageFormat = "png"
) -> bytes:
    """Draw the train and test accuracy in per cent. Raises ValueError without an epoch."""
    figure, axes = curve_axes(metrics, Header.of("Accuracy", heading, notes, width=WIDTH), "accuracy")
    _line(axes, metrics, lambda row: 100 * row.train_accuracy, "train", TRAIN)
    _line(axes, metrics, lambda row: 100 * row.test_accuracy, "test", TEST)
    per_cent(axes)
    axes.legend(frameon=False, fontsize=11)
    return encode(figure, image_format)


def curve_axes(metrics: Sequence[EpochMetrics], header: Header, ylabel: str) -> tuple[Figure, Axes]:
    """Return a figure with axes for these epochs. Raises ValueError without one."""
    if not metrics:
        raise ValueError("no epoch is recorded, so there is nothing to draw yet")
    figure = empty_figure(WIDTH, header.height + ABOVE + AXES_HEIGHT + BELOW)
    header.draw(figure)
    axes = Area(LEFT, BELOW, WIDTH - LEFT - RIGHT, AXES_HEIGHT).axes(figure)
    style_axes(axes)
    axes.tick_params(labelsize=11)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_xlabel("epoch", fontsize=12, color=INK)
    axes.set_ylabel(ylabel, fontsize=12, color=INK)
    _epoch_axis(axes, [row.epoch for row in metrics])
    return figure, axes


def per_cent(axes: Axes) -> None:
    """Let the y axis go from 0 to 100 %."""
    axes.set_ylim(0, 100)
    axes.yaxis.set_major_formatter("{x:g} %")


def heights_of(metrics: Sequence[EpochMetrics], value: Metric) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return the values of a curve; NaN, which matplotlib draws as a gap, where there is none."""
    return np.array([np.nan if (v := value(row)) is None else v for row in metrics], dtype=np.float64)


def _line(axes: Axes, metrics: Sequence[EpochMetrics], value: Metric, label: str, colour: str) -> None:
    """Draw a curve. If there are few epochs, each has a dot, so that a single one is visible."""
    marker = "o" if len(metrics) <= MAX_DOTS else None
    axes.plot(
        [row.epoch for row in metrics], heights_of(metrics, value), color=colour, label=label, linewidth=1.8,
        marker=marker, markersize=3.5 if len(metrics) > 1 else 6, clip_on=False,
    )  # fmt: skip


def _epoch_axis(axes: Axes, epochs: Sequence[int]) -> None:
    """Tick whole epochs. An axis of a single epoch reaches to the next one, so that it has two ticks."""
    first, last = min(epochs), max(epochs)
    if first == last:
        axes.set_xlim(first - 0.5, last + 1.5)
        axes.xaxis.set_major_locator(FixedLocator([first, last + 1]))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))


def scale_losses(axes: Axes, losses: Sequence[float]) -> None:
    """Scale the y axis. The power of ten of large losses is part of the axis' label."""
    low, high = min(losses, default=0.0), max(losses, default=0.0)
    if low > 0 and high / low >= LOG_FROM:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(numticks=8))
        axes.yaxis.set_major_formatter(LogFormatterSciNotation())
        axes.set_ylabel("cross-entropy (nats), log scale", fontsize=12, color=INK)
        return
    axes.set_ylim(0, 1.05 * high or 1)
    exponent = math.floor(math.log10(high)) if high > 0 else 0
    if exponent >= 4:
        axes.yaxis.set_major_formatter(lambda value, _: f"{value / 10.0**exponent:g}")
        axes.set_ylabel(f"cross-entropy ($10^{{{exponent}}}$ nats)", fontsize=12, color=INK)


def _train_loss(row: EpochMetrics) -> float | None:
    return row.train_loss


def _test_loss(row: EpochMetrics) -> float | None:
    return row.test_loss
