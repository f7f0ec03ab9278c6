"""Show the progress of a training: as a bar in a terminal, or as one log line per epoch."""

import logging
import sys
import time
from types import TracebackType
from typing import Protocol, Self

import rich.progress as bars
from rich.console import Console
from rich.table import Column
from rich.text import Text
from torch import Tensor

from normlab.store.records import EpochMetrics

log = logging.getLogger(__name__)


class Progress(Protocol):
    """The display of one experiment's progress, as a context manager around its training."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def step(self, step: int, loss: Tensor) -> None:
        """Show that a step is done. loss: a scalar on the training's device."""
        ...

    def epoch(self, metrics: EpochMetrics) -> None:
        """Show the metrics of an epoch."""
        ...


def show(title: str, *, epochs: int, steps_done: int, steps_per_epoch: int, batch_size: int) -> Progress:
    """Return a bar if standard error is a terminal, else lines in the log."""
    if sys.stderr.isatty():
        return _Bar(title, epochs, steps_done, steps_per_epoch, batch_size)
    return _Lines(title, epochs)


class _Bar:
    """A progress bar with two lines of text beside it."""

    def __init__(self, title: str, epochs: int, steps_done: int, steps_per_epoch: int, batch_size: int) -> None:
        self._epochs, self._steps_per_epoch, self._batch_size = epochs, steps_per_epoch, batch_size
        self._bars = bars.Progress(
            bars.TextColumn("{task.description}\n{task.fields[details]}"), bars.BarColumn(bar_width=None),
            _TimeLeft(table_column=Column(no_wrap=True, min_width=7)),
            console=Console(stderr=True), expand=True,
        )  # fmt: skip
        self._task = self._bars.add_task(title, total=epochs * steps_per_epoch, completed=steps_done, details="")
        self._loss, self._accuracy, self._rate = "", "train – test –", ""
        self._shown, self._shown_step = time.monotonic(), steps_done

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bars.stop()

    def step(self, step: int, loss: Tensor) -> None:
        """Redraw at most four times a second, and at the end of an epoch.

        To read the loss, the host has to wait for the device.
        """
        now = time.monotonic()
        if now - self._shown < 0.25 and step % self._steps_per_epoch:
            return
        rate = (step - self._shown_step) * self._batch_size / (now - self._shown)
        epoch = (step - 1) // self._steps_per_epoch
        self._loss, self._rate = (
            f"epoch {epoch} (last: {self._epochs - 1}) loss {float(loss):.3f}",
            f"{rate:,.0f} images/s",
        )
        self._redraw(step)
        self._shown, self._shown_step = now, step

    def epoch(self, metrics: EpochMetrics) -> None:
        """Show these accuracies until the next epoch."""
        self._accuracy = f"train {metrics.train_accuracy:.1%} test {metrics.test_accuracy:.1%}"
        self._redraw(self._shown_step)

    def _redraw(self, step: int) -> None:
        self._bars.update(self._task, completed=step, details=f"{self._loss} {self._accuracy} {self._rate}")


class _TimeLeft(bars.TimeRemainingColumn):
    def render(self, task: bars.Task) -> Text:
        """Return the time and the word "left" below it, because the column beside it has two lines too."""
        return Text.assemble(super().render(task), "\nleft")


class _Lines:
    """Log lines: one at the start, then one per epoch."""

    def __init__(self, title: str, epochs: int) -> None:
        self._title, self._epochs, self._began = title, epochs, time.monotonic()
        self._epochs_shown = 0

    def __enter__(self) -> Self:
        log.info("%s: training starts", self._title)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass

    def step(self, step: int, loss: Tensor) -> None:
        """Do nothing, because the log has one line per epoch."""

    def epoch(self, metrics: EpochMetrics) -> None:
        """Log the metrics of an epoch and the estimated time left."""
        self._epochs_shown += 1
        seconds_per_epoch = (time.monotonic() - self._began) / self._epochs_shown
        left = seconds_per_epoch * (self._epochs - 1 - metrics.epoch)
        loss = "not finite" if metrics.train_loss is None else f"{metrics.train_loss:.4f}"
        log.info(
            "%s: epoch %d (last: %d) loss %s train %.1f%% test %.1f%% %.0f images/s, %.0f s left",
            self._title, metrics.epoch, self._epochs - 1, loss, 100 * metrics.train_accuracy,
            100 * metrics.test_accuracy, metrics.images_per_second, left,
        )  # fmt: skip
