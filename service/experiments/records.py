"""What a worker records, as plain values: what was measured, what was captured in the layers, and where to go on from.

Not how it is stored (models) nor the guarded writing of it (recording).
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
    """Everything training needs to go on after a step: safetensors bytes and their SHA-256 in hex.

    step: how many training steps were done.
    """

    step: int
    content: bytes
    sha256: str


@dataclass(frozen=True, slots=True)
class Record:
    """All that is written of an epoch or of a part of one, in one transaction: none of it is ever without the rest.

    metrics: None inside an epoch. captures: what was captured since the record before.
    """

    metrics: EpochMetrics | None
    captures: tuple[Capture, ...]
    checkpoint: Checkpoint
