"""Writing and reading what was recorded: a record goes in whole, in one transaction, guarded by the claim."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, delete, func, insert, select
from sqlalchemy.orm import Session

from service.experiments import claims
from service.experiments.claims import Claim
from service.experiments.histograms import Histogram, unpack
from service.experiments.models import CheckpointRow, EpochRow, HistogramRow
from service.experiments.records import Capture, EpochMetrics, Record

_METRICS = tuple(EpochMetrics.__dataclass_fields__)


def record(session: Session, held: Claim, made: Record) -> None:
    """Write metrics, histograms, checkpoint and progress. Raises ClaimLost, and then nothing is written.

    A record that is there already is left: its writer was cut off before it heard so.
    """
    experiment_id, step = held.experiment_id, made.checkpoint.step
    progress = {"step": step} | ({"epochs_done": made.metrics.epoch + 1} if made.metrics else {})
    claims.still_held(session, held, **progress)
    stored = CheckpointRow.experiment_id == experiment_id
    if session.scalar(select(CheckpointRow.sha256).where(stored)) == made.checkpoint.sha256:
        return
    if made.metrics:
        session.execute(
            insert(EpochRow),
            [{"experiment_id": experiment_id} | {name: getattr(made.metrics, name) for name in _METRICS}],
        )
    rows = [
        {
            "experiment_id": experiment_id, "epoch": capture.epoch, "step": capture.step, "layer": layer,
            "quantity": quantity, "zeros": histogram.zeros, "nans": histogram.nans,
            "positive_infinities": histogram.positive_infinities,
            "negative_infinities": histogram.negative_infinities,
            "minimum": histogram.minimum, "maximum": histogram.maximum,
            "total": histogram.total, "total_of_squares": histogram.total_of_squares, "bins": histogram.to_bytes(),
        }
        for capture in made.captures
        for (layer, quantity), histogram in capture.histograms.items()
    ]  # fmt: skip
    if rows:
        session.execute(insert(HistogramRow), rows)
    session.execute(delete(CheckpointRow).where(stored))  # unread: it may be as large as the one to come
    session.execute(
        insert(CheckpointRow).values(
            experiment_id=experiment_id, step=step, content=made.checkpoint.content, sha256=made.checkpoint.sha256
        )
    )


def checkpoint(session: Session, experiment_id: int) -> CheckpointRow | None:
    """The newest checkpoint, if there ever was one."""
    size = session.scalar(
        select(func.length(CheckpointRow.content)).where(CheckpointRow.experiment_id == experiment_id)
    )
    # PostgreSQL sends two digits for each byte.
    return session.get(CheckpointRow, experiment_id, execution_options={"reads_bytes": 2 * (size or 0)})


def metrics(session: Session, experiment_id: int) -> list[EpochMetrics]:
    """Every epoch's metrics, in order; nothing is sampled."""
    rows = session.scalars(select(EpochRow).where(EpochRow.experiment_id == experiment_id).order_by(EpochRow.epoch))
    return [EpochMetrics(**{name: getattr(row, name) for name in _METRICS}) for row in rows]


def captures(
    session: Session, experiment_id: int, *, quantities: Sequence[str] = (), layer: int | None = None,
    epoch: int | None = None, steps: Sequence[int] | None = None,
) -> list[Capture]:  # fmt: skip
    """What was captured, in the order of training: of all quantities, layers, epochs, steps, or those asked for."""
    chosen = _of(select(*HistogramRow.__table__.columns), experiment_id, quantities, layer, epoch)
    if steps is not None:
        chosen = chosen.where(HistogramRow.step.in_(steps))
    found: dict[tuple[int, int], dict[tuple[int, str], Histogram]] = {}
    for row in session.execute(chosen.order_by(HistogramRow.step, HistogramRow.layer)):
        found.setdefault((row.epoch, row.step), {})[row.layer, row.quantity] = _histogram(row)
    return [Capture(epoch, step, histograms) for (epoch, step), histograms in found.items()]


def count_histograms(
    session: Session, experiment_id: int, *, quantities: Sequence[str] = (), layer: int | None = None,
    epoch: int | None = None,
) -> int:  # fmt: skip
    """How many histograms `captures` would read."""
    return session.scalar(_of(select(func.count()), experiment_id, quantities, layer, epoch)) or 0


def captured_steps(session: Session, experiment_id: int, quantity: str) -> list[tuple[int, int]]:
    """The epoch and the step of each capture of a quantity, in order."""
    found = select(HistogramRow.epoch, HistogramRow.step).distinct().order_by(HistogramRow.step)
    return [(row.epoch, row.step) for row in session.execute(_of(found, experiment_id, [quantity], None, None))]


def _of(chosen: Any, experiment_id: int, quantities: Sequence[str], layer: int | None, epoch: int | None) -> Any:
    """A select of histograms, narrowed."""
    chosen = chosen.where(HistogramRow.experiment_id == experiment_id)
    if quantities:
        chosen = chosen.where(HistogramRow.quantity.in_(quantities))
    if layer is not None:
        chosen = chosen.where(HistogramRow.layer == layer)
    if epoch is not None:
        chosen = chosen.where(HistogramRow.epoch == epoch)
    return chosen


def _histogram(row: Row[Any]) -> Histogram:
    codes, counts = unpack(row.bins)
    return Histogram(
        codes, counts, row.zeros, row.nans, row.positive_infinities, row.negative_infinities,
        row.minimum, row.maximum, row.total, row.total_of_squares,
    )  # fmt: skip
