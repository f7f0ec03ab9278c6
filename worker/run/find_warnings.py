"""The warnings of one training: found before its first step, in its captures, and in its last epoch."""

import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from normcore.engines import EngineChoice
from normlab.spec.warning import ExperimentWarning, WarningCode
from normlab.store.histograms import Histogram
from normlab.store.records import Capture, EpochMetrics, Record
from worker.training.one_class_batches import count_one_class_batches
from worker.training.training import Training

log = logging.getLogger(__name__)

CONVERGED_LOSS = 1e-3  # below it, gradients of images that are classified with certainty round to 0
CHANCE = 1 - 1e-6  # times ln(classes): a sum of float32 losses at chance may be this much smaller
QUANTILE = 2.576  # of the normal distribution: 99 % lie within so many standard deviations


class Warnings:
    """The warnings so far, each once by its code and layer.

    stored: those of earlier attempts, as JSON values.
    """

    def __init__(self, stored: Sequence[Any]) -> None:
        warnings = [ExperimentWarning.model_validate(each) for each in stored]
        self._warnings = {(each.code, each.layer): each for each in warnings}

    def add(self, warnings: Iterable[ExperimentWarning]) -> bool:
        """Add those that are new, log them, and return whether there are any."""
        before = len(self._warnings)
        for warning in warnings:
            if (warning.code, warning.layer) not in self._warnings:
                self._warnings[warning.code, warning.layer] = warning
                log.warning("%s: %s", warning.code.value, warning.message)
        return len(self._warnings) > before

    def to_json(self) -> list[dict[str, Any]]:
        """Return all of them, as they are stored."""
        return [warning.model_dump(mode="json") for warning in self._warnings.values()]


def before_training(training: Training, choice: EngineChoice) -> Iterator[ExperimentWarning]:
    """Yield what the data, the order of the images and the engine give reason for."""
    spec, batches = training.spec, training.batches(0)
    one_class = count_one_class_batches(training.train.labels, batches)
    classes = len(torch.unique(training.train.labels))
    if one_class and classes > 1:
        message = f"{one_class:,} of the first epoch's {len(batches):,} batches have images of one class alone"
        yield _warning(WarningCode.ONE_CLASS_BATCHES, f"{message}; set shuffle to true", epoch=0)
    if spec.dataset == "folder" and not spec.shuffle and classes > 1:
        message = "the images of the folder are trained in the order of their classes; set shuffle to true"
        yield _warning(WarningCode.FOLDER_WITHOUT_SHUFFLING, message)
    if choice.fell_back:
        yield _warning(WarningCode.ENGINE_FELL_BACK, choice.reason)


def of_record(training: Training, record: Record) -> Iterator[ExperimentWarning]:
    """Yield what the captures of a record give reason for, and the metrics if they are of the last epoch."""
    loss = None if record.metrics is None else record.metrics.train_loss
    has_converged = loss is not None and loss < CONVERGED_LOSS
    for capture in record.captures:
        if not has_converged:
            yield from _of_capture(capture)
    averages = training.optimizer.state()
    if overflowed := [name for name, average in averages.items() if not average.isfinite().all()]:
        message = f"after step {record.checkpoint.step} the optimizer's {overflowed[0]} is not finite"
        epoch = None if record.metrics is None else record.metrics.epoch
        yield _warning(WarningCode.OPTIMIZER_OVERFLOW, message, epoch=epoch)
    if record.metrics is not None and record.metrics.epoch == training.spec.epochs - 1:
        yield from _of_last_epoch(training, record.metrics)


def _of_capture(capture: Capture) -> Iterator[ExperimentWarning]:
    gradients = {
        layer: histogram for (layer, quantity), histogram in capture.histograms.items() if quantity == "weight_gradient"
    }
    zero = [layer for layer, histogram in gradients.items() if _is_zero(histogram)]
    if zero and len(zero) == len(gradients):
        message = f"at step {capture.step} every weight gradient was exactly 0, so nothing is trained"
        yield _warning(WarningCode.ALL_ZERO_GRADIENTS, message, epoch=capture.epoch)
        return
    for layer in zero:
        message = f"at step {capture.step} every weight gradient of layer {layer} was exactly 0"
        yield _warning(WarningCode.DEAD_LAYER, message, layer=layer, epoch=capture.epoch)


def _of_last_epoch(training: Training, metrics: EpochMetrics) -> Iterator[ExperimentWarning]:
    classes = training.layers[-1].output_shape[0]
    if metrics.train_loss is not None and metrics.train_loss >= CHANCE * math.log(classes) > 0:
        message = (
            f"the training loss of the last epoch is {metrics.train_loss:.4g}; giving each of the {classes} classes "
            f"the same probability has {math.log(classes):.4g}"
        )
        yield _warning(WarningCode.LOSS_ABOVE_CHANCE_AT_END, message, epoch=metrics.epoch)
    train, test = _chance(training.train.labels), _chance(training.test.labels)
    if metrics.train_accuracy <= train < 1 and metrics.test_accuracy <= test:
        message = (
            f"the last accuracies are {metrics.train_accuracy:.1%} on the training and {metrics.test_accuracy:.1%} on "
            f"the test images; always naming one class has up to {train:.1%} and {test:.1%}"
        )
        yield _warning(WarningCode.NOTHING_LEARNED, message, epoch=metrics.epoch)
    if metrics.train_accuracy > train and metrics.test_accuracy <= test < 1:
        message = (
            f"the last accuracy is {metrics.train_accuracy:.1%} on the training and {metrics.test_accuracy:.1%} on the "
            f"test images; always naming one class has up to {test:.1%} there"
        )
        yield _warning(WarningCode.TEST_AT_CHANCE, message, epoch=metrics.epoch)


def _chance(labels: Tensor) -> float:
    """Return the accuracy that 99 % of the draws of a classifier that guesses the most frequent class stay within."""
    fraction = float(torch.bincount(labels).max()) / len(labels)
    return min(1.0, fraction + QUANTILE * math.sqrt(fraction * (1 - fraction) / len(labels)))


def _is_zero(histogram: Histogram) -> bool:
    """Return whether every value is exactly 0."""
    return (
        histogram.zeros > 0
        and histogram.minimum == histogram.maximum == 0
        and not (histogram.nans or histogram.positive_infinities or histogram.negative_infinities)
    )


def _warning(
    code: WarningCode, message: str, *, layer: int | None = None, epoch: int | None = None
) -> ExperimentWarning:
    return ExperimentWarning(code=code, message=message, layer=layer, epoch=epoch)
