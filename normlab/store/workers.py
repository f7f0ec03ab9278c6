"""The workers that are up: each writes every few seconds what it runs on and what it has done since it started."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Double, cast, delete, func, select, update
from sqlalchemy.orm import Session

from normlab.spec.lifecycle import Status
from normlab.store.database import database_now
from normlab.store.models import EpochRow, Experiment, WorkerRow

UPDATE_INTERVAL_SECONDS = 5.0
INACTIVE_AFTER_SECONDS = 3 * UPDATE_INTERVAL_SECONDS
DELETED_AFTER_SECONDS = 3600.0  # with its counters, which a monitor has read by then


@dataclass(frozen=True)
class Counters:
    """What a worker has done since it started.

    takeovers: expired leases that it found. refused_writes: writes refused because its claim was no longer current.
    """

    claims: int = 0
    takeovers: int = 0
    refused_writes: int = 0
    steps: int = 0


def upsert(
    session: Session, name: str, *, device: str | None, threads: int | None, steps_per_second: float, counters: Counters
) -> None:
    """Write a worker's row. A new worker also deletes the rows of those not seen for an hour."""
    values = {
        "seen_at": database_now(), "device": device, "threads": threads, "steps_per_second": steps_per_second,
    } | vars(counters)  # fmt: skip
    updated = update(WorkerRow).where(WorkerRow.name == name).values(values).returning(WorkerRow.name)
    if session.scalar(updated) is None:
        session.add(WorkerRow(name=name, started_at=session.scalar(select(database_now())), **values))
        session.execute(delete(WorkerRow).where(WorkerRow.seen_at < _ago(DELETED_AFTER_SECONDS)))


def deregister(session: Session, name: str) -> None:
    """Delete the row of a worker that stops."""
    session.execute(delete(WorkerRow).where(WorkerRow.name == name))


def active_workers(session: Session) -> list[tuple[WorkerRow, Experiment | None, EpochRow | None]]:
    """Return the workers seen lately, oldest first, each with its experiment and that experiment's last epoch."""
    rows = session.execute(
        select(WorkerRow, Experiment, EpochRow)
        .outerjoin(Experiment, (Experiment.worker == WorkerRow.name) & (Experiment.status == Status.RUNNING))
        .outerjoin(EpochRow, (EpochRow.experiment_id == Experiment.id) & (EpochRow.epoch == Experiment.epochs_done - 1))
        .where(WorkerRow.seen_at > _ago(INACTIVE_AFTER_SECONDS))
        .order_by(WorkerRow.started_at, WorkerRow.name)
    )
    return [(row.WorkerRow, row.Experiment, row.EpochRow) for row in rows]


def all_workers(session: Session) -> Sequence[WorkerRow]:
    """Return every worker whose counters are still stored, active or not."""
    return session.scalars(select(WorkerRow).order_by(WorkerRow.name)).all()


def queue_depth(session: Session) -> tuple[dict[Status, int], float]:
    """Return how many experiments are queued, running and paused, and the age in seconds of the oldest queued one."""
    counts = {
        status: session.scalar(select(func.count()).where(Experiment.status == status)) or 0
        for status in (Status.QUEUED, Status.RUNNING, Status.PAUSED)
    }
    oldest = select(database_now() - func.min(Experiment.created_at)).where(Experiment.status == Status.QUEUED)
    return counts, session.scalar(oldest) or 0.0


def _ago(seconds: float) -> ColumnElement[float]:
    return database_now() - cast(seconds, Double)
