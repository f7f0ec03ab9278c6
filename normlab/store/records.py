"""Records: what a worker measures. A record is written whole, in one transaction that is guarded by the claim."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import groupby
from typing import Any, TypedDict

from sqlalchemy import case, delete, func, insert, select
from sqlalchemy.orm import Session

from normlab.store.claims import Claim, require_claim
from normlab.store.histograms import SCALARS, Histogram, l2_norm
from normlab.store.models import CheckpointRow, EpochRow, Experiment, HistogramRow


@dataclass(frozen=True, slots=True)
class EpochMetrics:
    """The metrics of one epoch, from 0. A loss that is not finite is None. Accuracies are fractions, 0…1."""

    epoch: int
    train_loss: float | None
    train_accuracy: float
    test_loss: float | None
    test_accuracy: float
    train_seconds: float
    test_seconds: float
    images_per_second: float


CAPTURED = ("epoch", "step", "layer", "quantity")  # columns that say what a histogram is of
METRICS = tuple(field.name for field in fields(EpochMetrics))


@dataclass(frozen=True, slots=True)
class Capture:
    """The histograms of the captured quantities of every layer at one step.

    step: the number of the step in the whole training, from 1. histograms: by (layer, quantity); a layer's number is
    that of its convolution or linear layer, from 1.
    """

    epoch: int
    step: int
    histograms: Mapping[tuple[int, str], Histogram]


class LayerStatistics(TypedDict):
    """Exact statistics of one captured quantity.

    count: of all values. min, max, mean and std are those of the finite values, None if there is none. std is biased.
    """

    epoch: int
    step: int
    layer: int
    quantity: str
    count: int
    zeros: int
    nans: int
    positive_infinities: int
    negative_infinities: int
    min: float | None
    max: float | None
    mean: float | None
    std: float | None
    l2_norm: float


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a training after `step` steps: safetensors bytes and their SHA-256 in hex."""

    step: int
    content: bytes
    sha256: str


@dataclass(frozen=True, slots=True)
class Record:
    """What one transaction writes of an epoch or of a part of one.

    metrics: None within an epoch. captures: those since the record before. checkpoint: the state to resume from.
    warnings: all of the experiment as JSON values; None if none is new.
    """

    metrics: EpochMetrics | None
    captures: tuple[Capture, ...]
    checkpoint: Checkpoint
    warnings: Sequence[dict[str, Any]] | None = None


def record(session: Session, claim: Claim, record: Record) -> None:
    """Write metrics, histograms, checkpoint and progress. Raises ClaimLost, and then nothing is written.

    A record that is stored already is skipped: its first commit succeeded, but the reply was lost.
    """
    progress: dict[str, Any] = {"step": record.checkpoint.step}
    if record.metrics is not None:
        progress |= {"epochs_done": record.metrics.epoch + 1} | _last_and_best(record.metrics)
    if record.warnings is not None:
        progress["warnings"] = list(record.warnings)
    require_claim(session, claim, **progress)
    stored = select(CheckpointRow.sha256).where(CheckpointRow.experiment_id == claim.experiment_id)
    if session.scalar(stored) == record.checkpoint.sha256:
        return
    if record.metrics is not None:
        session.execute(insert(EpochRow).values(experiment_id=claim.experiment_id, **asdict(record.metrics)))
    if rows := _histogram_rows(claim.experiment_id, record.captures):
        session.execute(insert(HistogramRow), rows)
    _replace_checkpoint(session, claim.experiment_id, record.checkpoint)


def checkpoint(session: Session, experiment_id: int) -> CheckpointRow | None:
    """Return the newest checkpoint, or None before the first."""
    size = select(func.length(CheckpointRow.content)).where(CheckpointRow.experiment_id == experiment_id)
    # PostgreSQL sends two digits for each byte.
    options = {"reads_bytes": 2 * (session.scalar(size) or 0)}
    return session.get(CheckpointRow, experiment_id, execution_options=options)


def metrics(session: Session, experiment_id: int) -> list[EpochMetrics]:
    """Return the metrics of every epoch, in order."""
    rows = session.scalars(select(EpochRow).where(EpochRow.experiment_id == experiment_id).order_by(EpochRow.epoch))
    return [EpochMetrics(**{name: getattr(row, name) for name in METRICS}) for row in rows]


def captures(
    session: Session, experiment_id: int, *, quantities: Sequence[str] = (), layer: int | None = None,
    epoch: int | None = None, steps: Sequence[int] | None = None,
) -> Iterator[Capture]:  # fmt: skip
    """Yield the captures in the order of training: all, or those of the given quantities, layer, epoch and steps."""
    chosen = _narrowed(select(*_columns(*CAPTURED, "bins", *SCALARS)), [experiment_id], quantities, layer, epoch)
    if steps is not None:
        chosen = chosen.where(HistogramRow.step.in_(steps))
    rows = session.execute(chosen.order_by(HistogramRow.step, HistogramRow.layer))
    for (captured_epoch, step), of_step in groupby(rows, key=lambda row: (row.epoch, row.step)):
        yield Capture(captured_epoch, step, {(row.layer, row.quantity): _histogram(row) for row in of_step})


def layer_statistics(
    session: Session, experiment_id: int, *, quantities: Sequence[str] = (), layer: int | None = None,
    epoch: int | None = None,
) -> list[LayerStatistics]:  # fmt: skip
    """Return the statistics of the captures in the order of training. The bins are not read: they are most bytes."""
    chosen = _narrowed(select(*_columns(*CAPTURED, *SCALARS)), [experiment_id], quantities, layer, epoch)
    return [_statistics(*row) for row in session.execute(chosen.order_by(HistogramRow.step, HistogramRow.layer))]


def count_histograms(
    session: Session, experiment_ids: Sequence[int], *, quantities: Sequence[str] = (), layer: int | None = None,
    epoch: int | None = None,
) -> int:  # fmt: skip
    """Return how many histograms `captures` would read of these experiments."""
    return session.scalar(_narrowed(select(func.count()), experiment_ids, quantities, layer, epoch)) or 0


def value_range(
    session: Session, experiment_ids: Sequence[int], *, quantities: Sequence[str] = (), layer: int | None = None,
    epoch: int | None = None,
) -> tuple[float, float] | None:  # fmt: skip
    """Return the smallest and the largest finite value of the captures of these experiments. None if there is none."""
    minimum, maximum = _columns("minimum", "maximum")
    extremes = select(func.min(minimum), func.max(maximum))
    low, high = session.execute(_narrowed(extremes, experiment_ids, quantities, layer, epoch)).one()
    return None if low is None else (low, high)


def captured_steps(session: Session, experiment_id: int, quantity: str) -> list[tuple[int, int]]:
    """Return the epoch and the step of each capture of a quantity, in order."""
    steps = select(HistogramRow.epoch, HistogramRow.step).distinct().order_by(HistogramRow.step)
    return [(row.epoch, row.step) for row in session.execute(_narrowed(steps, [experiment_id], [quantity], None, None))]


def _last_and_best(metrics: EpochMetrics) -> dict[str, Any]:
    """Return the experiment's columns that repeat the metrics of its last epoch and of its best one."""
    is_worse = Experiment.best_test_accuracy > metrics.test_accuracy
    return {
        "last_train_loss": metrics.train_loss,
        "last_test_loss": metrics.test_loss,
        "last_test_accuracy": metrics.test_accuracy,
        "best_test_accuracy": case((is_worse, Experiment.best_test_accuracy), else_=metrics.test_accuracy),
    }


def _histogram_rows(experiment_id: int, captures: Sequence[Capture]) -> list[dict[str, Any]]:
    return [
        {
            "experiment_id": experiment_id, "epoch": capture.epoch, "step": capture.step, "layer": layer,
            "quantity": quantity, "bins": histogram.to_bytes(),
        } | {name: getattr(histogram, name) for name in SCALARS}
        for capture in captures
        for (layer, quantity), histogram in capture.histograms.items()
    ]  # fmt: skip


def _columns(*names: str) -> list[Any]:
    return [HistogramRow.__table__.c[name] for name in names]


def _histogram(row: Any) -> Histogram:
    return Histogram.from_bytes(row.bins, *row[-len(SCALARS) :])


def _statistics(
    epoch: int, step: int, layer: int, quantity: str, finite: int, zeros: int, nans: int, positive_infinities: int,
    negative_infinities: int, minimum: float | None, maximum: float | None, mean: float | None,
    squared_deviations: float,
) -> LayerStatistics:  # fmt: skip
    nonfinite = nans + positive_infinities + negative_infinities
    std = math.sqrt(squared_deviations / finite) if finite else None
    norm = l2_norm(finite, mean, squared_deviations)
    return {
        "epoch": epoch, "step": step, "layer": layer, "quantity": quantity, "count": finite + nonfinite,
        "zeros": zeros, "nans": nans, "positive_infinities": positive_infinities,
        "negative_infinities": negative_infinities, "min": minimum, "max": maximum, "mean": mean, "std": std,
        "l2_norm": norm,
    }  # fmt: skip


def _replace_checkpoint(session: Session, experiment_id: int, checkpoint: Checkpoint) -> None:
    """Delete the old checkpoint without reading it, for it may be as large as the new one, and insert the new one."""
    session.execute(delete(CheckpointRow).where(CheckpointRow.experiment_id == experiment_id))
    session.execute(
        insert(CheckpointRow).values(
            experiment_id=experiment_id, step=checkpoint.step, content=checkpoint.content, sha256=checkpoint.sha256
        )
    )


def _narrowed(
    query: Any, experiment_ids: Sequence[int], quantities: Sequence[str], layer: int | None, epoch: int | None
) -> Any:
    query = query.where(HistogramRow.experiment_id.in_(experiment_ids))
    if quantities:
        query = query.where(HistogramRow.quantity.in_(quantities))
    if layer is not None:
        query = query.where(HistogramRow.layer == layer)
    if epoch is not None:
        query = query.where(HistogramRow.epoch == epoch)
    return query
