"""The queue as its users have it: enqueue, prioritize, pause, resume, cancel, retry, remove.

Every verb takes a session and never commits: the caller's `with writing.begin()` shows the transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Update, case, delete, exists, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from service.experiments import claims
from service.experiments.database import database_now
from service.experiments.errors import KeyReused, NoSuchExperiment, NoSuchGroup, NotNow
from service.experiments.models import (
    ENDED,
    Attempt,
    CheckpointRow,
    EpochRow,
    Experiment,
    GroupRow,
    HistogramRow,
    TagRow,
)
from service.experiments.spec import ExperimentSpec


@dataclass(frozen=True)
class Order:
    """What is to be queued. key: of idempotency; digest: what it stands for, a hash of the body."""

    spec: ExperimentSpec
    key: str | None = None
    digest: str | None = None


def enqueue(session: Session, spec: ExperimentSpec, *, key: str | None = None, digest: str | None = None) -> Experiment:
    """Queue an experiment; with an idempotency key that was used before, return what it made then.

    Raises KeyReused if the key stood for another body.
    """
    (made,) = enqueue_all(session, [Order(spec, key, digest)])
    if isinstance(made, KeyReused):
        raise made
    return made


def enqueue_all(session: Session, orders: Sequence[Order]) -> list[Experiment | KeyReused]:
    """Queue several in the order they come; for each what `enqueue` would return or raise."""
    keys = {order.key for order in orders if order.key is not None}
    before = session.scalars(select(Experiment).where(Experiment.idempotency_key.in_(keys))) if keys else ()
    by_key = {experiment.idempotency_key: experiment for experiment in before}
    now = session.scalar(select(database_now()))
    made: list[Experiment | KeyReused] = []
    new: list[tuple[Experiment, ExperimentSpec]] = []
    for order in orders:
        experiment = None if order.key is None else by_key.get(order.key)
        if experiment is None:
            experiment = _experiment(order, now)
            new.append((experiment, order.spec))
            if order.key is not None:
                by_key[order.key] = experiment
        same = order.key is None or experiment.idempotency_digest == order.digest
        made.append(experiment if same else KeyReused(str(order.key)))
    session.add_all(experiment for experiment, _ in new)
    session.flush()
    for group in sorted({spec.group for _, spec in new if spec.group}):  # in one order, lest two wait for each other
        _know_group(session, group)
    tags = [{"experiment_id": one.id, "tag": tag} for one, spec in new for tag in sorted(set(spec.tags))]
    if tags:
        session.execute(insert(TagRow), tags)
    return made


def prioritize(session: Session, experiment_id: int, priority: int) -> Experiment:
    """Let a waiting experiment be claimed before those of a lower priority. Raises NotNow if it runs or has ended."""
    experiment = _locked(session, experiment_id)
    if experiment.status not in ("queued", "paused"):
        raise NotNow(f"experiment {experiment_id} is {experiment.status}; only a waiting one has a priority to change")
    experiment.priority = priority
    return experiment


def cancel(session: Session, experiment_id: int) -> Experiment:
    """Cancel: at once what waits, within a step what is running. Raises NotNow if it has ended."""
    experiment = _locked(session, experiment_id)
    _refuse_ended(experiment, "cancelled")
    if experiment.status == "running":
        _wish(session, experiment, "cancel")
    else:
        experiment.status = "cancelled"
        experiment.ended_at = session.scalar(select(database_now()))
    return experiment


def pause(session: Session, experiment_id: int) -> Experiment:
    """Set aside until it is resumed: at once what waits, within a step what is running. Raises NotNow if it has ended,
    or is being cancelled.
    """
    experiment = _locked(session, experiment_id)
    _refuse_ended(experiment, "paused")
    if experiment.wish == "cancel":
        raise NotNow(f"experiment {experiment_id} is being cancelled; it cannot be paused")
    if experiment.status == "running":
        _wish(session, experiment, "pause")
    else:
        experiment.status = "paused"
    return experiment


def resume(session: Session, experiment_id: int) -> Experiment:
    """Queue a paused experiment again, at its old place; withdraw a pause not yet heeded. Raises NotNow if ended."""
    experiment = _locked(session, experiment_id)
    _refuse_ended(experiment, "resumed")
    if experiment.status == "paused":
        experiment.status = "queued"
    elif experiment.wish == "pause":
        experiment.wish = None
    return experiment


def pause_group(session: Session, group: str) -> Sequence[int]:
    """Pause all of a group that wait or run; returns their ids. Raises NoSuchGroup."""
    _check_group(session, group)
    # In one statement: of two, an experiment that its worker gives back between them would heed neither.
    waits = Experiment.status == "queued"
    paused = (
        update(Experiment)
        .where(Experiment.group == group, waits | (Experiment.status == "running") & Experiment.wish.is_(None))
        .values(status=case((waits, "paused"), else_=Experiment.status), wish=case((waits, None), else_="pause"))
    )
    found = _ids(session, paused)
    claims.requeue_those_stalled(session, Experiment.group == group)
    return found


def resume_group(session: Session, group: str) -> Sequence[int]:
    """Resume all of a group that are paused or about to be; returns their ids. Raises NoSuchGroup."""
    _check_group(session, group)
    is_paused = Experiment.status == "paused"
    resumed = (
        update(Experiment)
        .where(Experiment.group == group, is_paused | (Experiment.wish == "pause"))
        .values(status=case((is_paused, "queued"), else_=Experiment.status), wish=None)
    )
    return _ids(session, resumed)


def retry(session: Session, experiment_id: int, *, from_start: bool = False) -> Experiment:
    """Queue a failed or cancelled experiment again; it goes on from its last checkpoint, or loses its records first.

    Raises NotNow if it is in another state, or failed because its loss was not finite: its checkpoint is not either.
    """
    experiment = _locked(session, experiment_id)
    if experiment.status not in ("failed", "cancelled"):
        raise NotNow(f"experiment {experiment_id} is {experiment.status}; only a failed or cancelled one is retried")
    not_finite = select(EpochRow).where(
        EpochRow.experiment_id == experiment_id, EpochRow.train_loss.is_(None) | EpochRow.test_loss.is_(None)
    )
    if session.scalar(select(not_finite.exists())):
        raise NotNow(
            f"experiment {experiment_id} diverged and would again; post it anew with, say, a smaller learning_rate"
        )
    experiment.status, experiment.error, experiment.ended_at, experiment.worker = "queued", None, None, None
    experiment.attempts_before = experiment.attempt
    if from_start:
        for table in (EpochRow, HistogramRow, CheckpointRow):
            session.execute(delete(table).where(table.experiment_id == experiment_id))
        experiment.epochs_done, experiment.step, experiment.started_at = 0, 0, None
        experiment.provenance, experiment.gradient_check = None, None
    return experiment


def remove(session: Session, experiment_id: int, *, force: bool = False) -> None:
    """Delete an experiment and all its records. Raises NotNow while it runs, unless forced: then its claim is gone too,
    and its worker stops within a step.
    """
    experiment = _locked(session, experiment_id)
    if experiment.status == "running" and not force:
        raise NotNow(f"experiment {experiment_id} is running; cancel it first, or force its deletion")
    for table in (TagRow, EpochRow, HistogramRow, CheckpointRow, Attempt):
        session.execute(delete(table).where(table.experiment_id == experiment_id))
    session.delete(experiment)


def _experiment(order: Order, now: float | None) -> Experiment:
    spec = order.spec
    return Experiment(
        created_at=now,
        idempotency_key=order.key,
        idempotency_digest=order.digest,
        spec=spec.model_dump(mode="json"),
        normalization=spec.normalization,
        dataset=spec.dataset,
        group=spec.group or "",
        priority=spec.priority,
        max_run_seconds=spec.max_run_seconds,
        status="queued",
        attempt=0,
        attempts_before=0,
        epochs_done=0,
        step=0,
    )


def _locked(session: Session, experiment_id: int) -> Experiment:
    experiment = session.get(Experiment, experiment_id, with_for_update=True)
    if experiment is None:
        raise NoSuchExperiment(experiment_id)
    if experiment.wish is not None:  # whoever was to heed it may be gone since
        claims.requeue_those_stalled(session, Experiment.id == experiment_id)
        session.refresh(experiment)
    return experiment


def _wish(session: Session, experiment: Experiment, wish: str) -> None:
    """Of its worker; if that is gone, it is heeded here."""
    experiment.wish = wish
    session.flush()
    claims.requeue_those_stalled(session, Experiment.id == experiment.id)
    session.refresh(experiment)


def _refuse_ended(experiment: Experiment, done: str) -> None:
    if experiment.status in ENDED:
        how = "been cancelled" if experiment.status == "cancelled" else experiment.status
        raise NotNow(f"experiment {experiment.id} has already {how}; it cannot be {done}")


def _know_group(session: Session, group: str) -> None:
    """So that claims can go round the groups without looking at every experiment."""
    on_sqlite = session.get_bind().dialect.name == "sqlite"
    row = sqlite.insert(GroupRow) if on_sqlite else postgresql.insert(GroupRow)
    session.execute(row.values(name=group).on_conflict_do_nothing())


def _check_group(session: Session, group: str) -> None:
    if not session.scalar(select(exists().where(GroupRow.name == group))):
        raise NoSuchGroup(group)


def _ids(session: Session, change: Update) -> list[int]:
    return sorted(session.scalars(change.returning(Experiment.id)))
