"""The queue as its users change it: prioritize, cancel, pause, resume, retry, remove.

Every verb takes a session and never commits, so that the caller's `with writing.begin()` shows the transaction.
"""

from collections.abc import Sequence

from sqlalchemy import Update, case, delete, exists, select, update
from sqlalchemy.orm import Session

from normlab.spec.lifecycle import RequestedAction, Status
from normlab.store.database import database_now
from normlab.store.errors import InvalidState, NoSuchExperiment, NoSuchGroup
from normlab.store.lost_attempts import apply_request_if_stalled
from normlab.store.models import (
    Attempt,
    CheckpointRow,
    EpochRow,
    Experiment,
    GradientCheckRow,
    GroupRow,
    HistogramRow,
    IdempotencyKeyRow,
    TagRow,
)


def prioritize(session: Session, experiment_id: int, priority: int) -> Experiment:
    """Change the priority of a queued or paused experiment. Raises InvalidState if it runs or has ended."""
    experiment = _locked(session, experiment_id)
    if experiment.status not in (Status.QUEUED, Status.PAUSED):
        raise InvalidState(
            f"experiment {experiment_id} is {experiment.status}; only a queued or paused one has a priority to change"
        )
    experiment.priority = priority
    experiment.spec = experiment.spec | {"priority": priority}
    return experiment


def cancel(session: Session, experiment_id: int) -> Experiment:
    """Cancel a queued or paused experiment at once, a running one after its step.

    Raises InvalidState if it has ended.
    """
    experiment = _locked(session, experiment_id)
    _refuse_ended(experiment, "cancelled")
    if experiment.status == Status.RUNNING:
        _request(session, experiment, RequestedAction.CANCEL)
    else:
        experiment.status = Status.CANCELLED
        experiment.ended_at = session.scalar(select(database_now()))
    return experiment


def pause(session: Session, experiment_id: int) -> Experiment:
    """Pause a queued experiment at once, a running one after its step.

    Raises InvalidState if it has ended or is being cancelled.
    """
    experiment = _locked(session, experiment_id)
    _refuse_ended(experiment, "paused")
    if experiment.requested_action == RequestedAction.CANCEL:
        raise InvalidState(f"experiment {experiment_id} is being cancelled; it cannot be paused")
    if experiment.status == Status.RUNNING:
        _request(session, experiment, RequestedAction.PAUSE)
    else:
        experiment.status = Status.PAUSED
    return experiment


def resume(session: Session, experiment_id: int) -> Experiment:
    """Requeue a paused experiment at its old position, or withdraw a pause request.

    Raises InvalidState if it has ended.
    """
    experiment = _locked(session, experiment_id)
    _refuse_ended(experiment, "resumed")
    if experiment.status == Status.PAUSED:
        experiment.status = Status.QUEUED
    elif experiment.requested_action == RequestedAction.PAUSE:
        experiment.requested_action = None
    return experiment


def pause_group(session: Session, group: str) -> Sequence[int]:
    """Pause the queued and running experiments of a group, and return their ids. Raises NoSuchGroup."""
    _check_group(session, group)
    # One statement: a worker that released an experiment between two statements would escape both.
    is_queued = Experiment.status == Status.QUEUED
    is_running = (Experiment.status == Status.RUNNING) & Experiment.requested_action.is_(None)
    paused = (
        update(Experiment)
        .where(Experiment.queue_group == group, is_queued | is_running)
        .values(
            status=case((is_queued, Status.PAUSED), else_=Experiment.status),
            requested_action=case((is_queued, None), else_=RequestedAction.PAUSE),
        )
    )
    ids = _ids(session, paused)
    apply_request_if_stalled(session, Experiment.queue_group == group)
    return ids


def resume_group(session: Session, group: str) -> Sequence[int]:
    """Requeue a group's paused experiments, withdraw its pause requests, and return the ids. Raises NoSuchGroup."""
    _check_group(session, group)
    is_paused = Experiment.status == Status.PAUSED
    resumed = (
        update(Experiment)
        .where(Experiment.queue_group == group, is_paused | (Experiment.requested_action == RequestedAction.PAUSE))
        .values(status=case((is_paused, Status.QUEUED), else_=Experiment.status), requested_action=None)
    )
    return _ids(session, resumed)


def retry(session: Session, experiment_id: int, *, from_start: bool = False) -> Experiment:
    """Requeue a failed or cancelled experiment. It resumes from its last checkpoint, or from_start deletes its records.

    Raises InvalidState if it is in another state, or if its loss was not finite: then its checkpoint is not either.
    """
    experiment = _locked(session, experiment_id)
    if experiment.status not in (Status.FAILED, Status.CANCELLED):
        raise InvalidState(
            f"experiment {experiment_id} is {experiment.status}; only a failed or cancelled one can be retried"
        )
    _refuse_diverged(session, experiment_id)
    experiment.status, experiment.error, experiment.ended_at, experiment.worker = Status.QUEUED, None, None, None
    experiment.attempts_before_retry = experiment.attempt
    if from_start:
        _delete_records(session, experiment)
    return experiment


def remove(session: Session, experiment_id: int, *, force: bool = False) -> None:
    """Delete an experiment with its records and idempotency keys.

    Raises InvalidState while it runs, unless force is set: then its claim is lost, and its worker stops after its step.
    """
    experiment = _locked(session, experiment_id)
    if experiment.status == Status.RUNNING and not force:
        raise InvalidState(f"experiment {experiment_id} is running; cancel it first, or delete it with force=true")
    for table in (TagRow, EpochRow, HistogramRow, CheckpointRow, GradientCheckRow, Attempt, IdempotencyKeyRow):
        session.execute(delete(table).where(table.experiment_id == experiment_id))
    session.delete(experiment)


def _locked(session: Session, experiment_id: int) -> Experiment:
    """The experiment, locked. A requested action is applied first if the worker that should apply it is lost."""
    experiment = session.get(Experiment, experiment_id, with_for_update=True)
    if experiment is None:
        raise NoSuchExperiment(experiment_id)
    if experiment.requested_action is not None:
        apply_request_if_stalled(session, Experiment.id == experiment_id)
        session.refresh(experiment)
    return experiment


def _request(session: Session, experiment: Experiment, action: RequestedAction) -> None:
    """Ask the worker for an action. If the worker is lost, the action is applied here."""
    experiment.requested_action = action
    session.flush()
    apply_request_if_stalled(session, Experiment.id == experiment.id)
    session.refresh(experiment)


def _delete_records(session: Session, experiment: Experiment) -> None:
    for table in (EpochRow, HistogramRow, CheckpointRow, GradientCheckRow):
        session.execute(delete(table).where(table.experiment_id == experiment.id))
    experiment.epochs_done, experiment.step, experiment.started_at = 0, 0, None
    experiment.last_train_loss, experiment.last_test_loss = None, None
    experiment.last_test_accuracy, experiment.best_test_accuracy = None, None
    experiment.provenance, experiment.gradient_check, experiment.warnings = None, None, []


def _refuse_ended(experiment: Experiment, verb: str) -> None:
    if experiment.status.has_ended:
        state = "been cancelled" if experiment.status == Status.CANCELLED else experiment.status
        raise InvalidState(f"experiment {experiment.id} has already {state}; it cannot be {verb}")


def _refuse_diverged(session: Session, experiment_id: int) -> None:
    not_finite = select(EpochRow).where(
        EpochRow.experiment_id == experiment_id, EpochRow.train_loss.is_(None) | EpochRow.test_loss.is_(None)
    )
    if session.scalar(select(not_finite.exists())):
        raise InvalidState(
            f"experiment {experiment_id} diverged and would diverge again; post a new one with, for example, a smaller "
            "learning_rate"
        )


def _check_group(session: Session, group: str) -> None:
    if not session.scalar(select(exists().where(GroupRow.name == group))):
        raise NoSuchGroup(group)


def _ids(session: Session, change: Update) -> list[int]:
    return sorted(session.scalars(change.returning(Experiment.id)))
