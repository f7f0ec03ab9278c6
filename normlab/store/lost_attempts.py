"""Lost attempts: a training that died or hung, and experiments whose lease has expired.

A lost attempt returns its experiment to the queue. After max_attempts lost attempts the experiment fails, because it
may itself be the cause. Each verb takes a session and never commits.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, select, update
from sqlalchemy.orm import Session

from normlab.spec.lifecycle import AttemptOutcome, Status
from normlab.store.claims import Claim, is_claimed, is_stalled, now_if_cancelled, status_after
from normlab.store.database import database_now
from normlab.store.errors import ClaimLost
from normlab.store.models import Attempt, Experiment

MAX_ATTEMPTS = 5  # the limit on the lost attempts of one experiment, unless a setting changes it
LEASE_EXPIRED = "its worker sent no heartbeat until the lease expired"


def mark_lost(session: Session, claim: Claim, detail: str, *, max_attempts: int = MAX_ATTEMPTS) -> None:
    """End an attempt whose training died or hung. Raises ClaimLost if the claim is no longer current."""
    rows = _lock(session, is_claimed(claim), skip_locked=False)
    if not rows:
        raise ClaimLost(claim.experiment_id, claim.attempt)
    _end_lost(session, rows[0], detail, max_attempts)


def requeue_stalled(session: Session, *, max_attempts: int = MAX_ATTEMPTS) -> int:
    """End every attempt whose lease has expired, and return how many there were. Locked experiments are left out.

    A worker that is still alive notices at its next write, which raises ClaimLost.
    """
    rows = _lock(session, is_stalled, skip_locked=True)
    for row in rows:
        _end_lost(session, row, LEASE_EXPIRED, max_attempts)
    return len(rows)


def apply_request_if_stalled(session: Session, where: ColumnElement[bool]) -> None:
    """Apply the requested cancel or pause of those of these experiments whose lease has expired.

    All workers may be busy for hours, so none would notice. The limit on lost attempts does not matter here, because a
    requested action takes precedence over it.
    """
    requested = Experiment.requested_action.is_not(None)
    for row in _lock(session, and_(where, is_stalled, requested), skip_locked=False):
        _end_lost(session, row, LEASE_EXPIRED, MAX_ATTEMPTS)


def _lock(session: Session, where: ColumnElement[bool], *, skip_locked: bool) -> Sequence[Any]:
    """Lock the experiments, in the order of their ids so that two transactions never wait for each other."""
    columns = select(Experiment.id, Experiment.lease_expires_at).where(where).order_by(Experiment.id)
    return session.execute(columns.with_for_update(skip_locked=skip_locked)).all()


def _end_lost(session: Session, row: Any, detail: str, max_attempts: int) -> None:
    """End the attempt, and requeue its experiment, or apply a requested action, or fail the experiment."""
    _mark_attempt_lost(session, row, detail)
    too_many = and_(Experiment.requested_action.is_(None), _lost_attempts() >= max_attempts)
    ended = update(Experiment).where(Experiment.id == row.id).values(
        status=case((too_many, Status.FAILED), else_=status_after(Status.QUEUED)),
        ended_at=case((too_many, database_now()), else_=now_if_cancelled()),
        error=case((too_many, _too_many_lost(row.id, max_attempts, detail)), else_=None),
        worker=None, lease_expires_at=None, requested_action=None,
    )  # fmt: skip
    session.execute(ended)


def _mark_attempt_lost(session: Session, row: Any, detail: str) -> None:
    # No worker ran it after its lease, even if that is noticed much later.
    ended_at = case((database_now() > row.lease_expires_at, row.lease_expires_at), else_=database_now())
    session.execute(
        update(Attempt)
        .where(Attempt.experiment_id == row.id, Attempt.ended_at.is_(None))
        .values(ended_at=ended_at, outcome=AttemptOutcome.LOST, detail=detail)
    )


def _lost_attempts() -> Any:
    """How many attempts the experiment has lost since it was last retried."""
    lost = (Attempt.attempt > Experiment.attempts_before_retry, Attempt.outcome == AttemptOutcome.LOST)
    return select(func.count()).where(Attempt.experiment_id == Experiment.id, *lost).scalar_subquery()


def _too_many_lost(experiment_id: int, max_attempts: int, detail: str) -> str:
    # The number of lost attempts is not given: it exceeds the limit if the setting was reduced.
    return (
        f"the limit of {max_attempts} lost attempts is reached (NORMLAB_MAX_ATTEMPTS). The last one: {detail}. "
        f"GET /experiments/{experiment_id}/attempts lists all. If the machine was the cause, for example because it "
        "ran out of memory, retry the experiment"
    )
