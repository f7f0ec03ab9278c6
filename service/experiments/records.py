"""What a worker records of an epoch, as plain values: what was measured, and what was captured in its layers.

Not how it is stored (models) nor the guarded writing of it (queue).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from service.experiments.histograms import Histogram


@dataclass(frozen=True, slots=True)
class EpochMetrics:
    """One row an epoch. A loss that was not finite is None. Accuracies are shares, 0…1; epochs count from 0."""

    epoch: int
    train_loss: float | None
    train_accuracy: float
    test_loss: float | None
    test_accuracy: float
    train_seconds: float
    test_seconds: float
    images_per_second: float


@dataclass(frozen=True, slots=True)
class Capture:
    """The histograms of every looked-at quantity of every layer at one step.

    step: how many steps of the whole training had been begun, this one included (the first is 1).
    histograms: by (layer, quantity); layers are numbered by their convolution, from 1.
    """

    epoch: int
    step: int
    histograms: Mapping[tuple[int, str], Histogram]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Everything training needs to go on after an epoch: safetensors bytes and their SHA-256 in hex.

    step: how many training steps were done.
    """

    step: int
    content: bytes
    sha256: str


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """All that is written for one epoch, in one transaction."""

    metrics: EpochMetrics
    captures: tuple[Capture, ...]
    checkpoint: Checkpoint
