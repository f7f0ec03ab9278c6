"""Who works: each worker shows itself every few seconds, with what it runs on and what it has done since it started."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Double, cast, delete, func, select, update
from sqlalchemy.orm import Session

from service.experiments.database import database_now
from service.experiments.models import EpochRow, Experiment, WorkerRow

SHOWN_EVERY_SECONDS = 5.0
GONE_AFTER_SECONDS = 3 * SHOWN_EVERY_SECONDS  # of silence
FORGOTTEN_AFTER_SECONDS = 3600.0  # with its counts, which a monitor has read by then


@dataclass(frozen=True)
class Done:
    """What a worker has done since it started. takeovers: leases run out that it found; refused_writes: of claims that
    were no longer its own.
    """

    claims: int = 0
    takeovers: int = 0
    refused_writes: int = 0
    steps: int = 0


def show(
    session: Session, name: str, *, device: str | None, threads: int | None, steps_per_second: float, done: Done
) -> None:
    """Say that a worker is there. Those silent for an hour are forgotten in passing."""
    values = {
        "seen_at": database_now(), "device": device, "threads": threads, "steps_per_second": steps_per_second,
    } | vars(done)  # fmt: skip
    known = update(WorkerRow).where(WorkerRow.name == name).values(values).returning(WorkerRow.name)
    if session.scalar(known) is None:
        session.add(WorkerRow(name=name, started_at=session.scalar(select(database_now())), **values))
        session.execute(delete(WorkerRow).where(WorkerRow.seen_at < _ago(FORGOTTEN_AFTER_SECONDS)))


def leave(session: Session, name: str) -> None:
    """A worker that stops is not missed."""
    session.execute(delete(WorkerRow).where(WorkerRow.name == name))


def there(session: Session) -> list[tuple[WorkerRow, Experiment | None, EpochRow | None]]:
    """Every worker seen lately, oldest first, with what it runs and the last epoch recorded of that."""
    found = session.execute(
        select(WorkerRow, Experiment, EpochRow)
        .outerjoin(Experiment, (Experiment.worker == WorkerRow.name) & (Experiment.status == "running"))
        .outerjoin(EpochRow, (EpochRow.experiment_id == Experiment.id) & (EpochRow.epoch == Experiment.epochs_done - 1))
        .where(WorkerRow.seen_at > _ago(GONE_AFTER_SECONDS))
        .order_by(WorkerRow.started_at, WorkerRow.name)
    )
    return [(row.WorkerRow, row.Experiment, row.EpochRow) for row in found]


def counted(session: Session) -> Sequence[WorkerRow]:
    """Every worker whose counts are still known, whether it is there or not."""
    return session.scalars(select(WorkerRow).order_by(WorkerRow.name)).all()


def waiting(session: Session) -> tuple[dict[str, int], float]:
    """How many experiments are queued, running and paused, and the age in seconds of the oldest queued one."""
    counts = {
        status: session.scalar(select(func.count()).where(Experiment.status == status)) or 0
        for status in ("queued", "running", "paused")
    }
    oldest = select(database_now() - func.min(Experiment.created_at)).where(Experiment.status == "queued")
    return counts, session.scalar(oldest) or 0.0


def _ago(seconds: float) -> ColumnElement[float]:
    return database_now() - cast(seconds, Double)
