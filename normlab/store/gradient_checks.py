"""Requested gradient checks: the queue's second kind of work, which a worker does before it claims an experiment.

A check only reads its experiment, so it has a claim of its own: a lease, and an attempt number as the fencing token. If
its worker is lost, the lease expires and the next worker takes it. Every verb takes a session and never commits.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Double, and_, exists, or_, select, update
from sqlalchemy import cast as sql_cast
from sqlalchemy.orm import Session

from normlab.spec.lifecycle import Status
from normlab.store.database import database_now
from normlab.store.errors import CheckLost, InvalidState, NoSuchExperiment
from normlab.store.models import CheckpointRow, Experiment, GradientCheckRow

is_open = GradientCheckRow.ended_at.is_(None)
is_free = and_(
    is_open, or_(GradientCheckRow.lease_expires_at.is_(None), GradientCheckRow.lease_expires_at < database_now())
)


@dataclass(frozen=True)
class CheckClaim:
    """The right to write the result of one check. It is valid while its attempt is the current one."""

    id: int
    experiment_id: int
    attempt: int


def request(session: Session, experiment_id: int) -> GradientCheckRow:
    """Request a check at the newest checkpoint, and return it. While one is not done yet, return that one.

    Raises NoSuchExperiment, and InvalidState while the experiment runs or if it has no checkpoint.
    """
    experiment = session.get(Experiment, experiment_id, with_for_update=True)
    if experiment is None:
        raise NoSuchExperiment(experiment_id)
    if experiment.status == Status.RUNNING:
        raise InvalidState(f"experiment {experiment_id} is running; pause it, or wait for its end")
    if not session.scalar(select(exists().where(CheckpointRow.experiment_id == experiment_id))):
        raise InvalidState(f"experiment {experiment_id} has no checkpoint yet, so there is nothing to check")
    newest = latest(session, experiment_id)
    if newest is not None and newest.ended_at is None:
        return newest
    now = session.scalar(select(database_now()))
    check = GradientCheckRow(experiment_id=experiment_id, requested_at=now, attempt=0, lost_attempts=0)
    session.add(check)
    session.flush()
    return check


def latest(session: Session, experiment_id: int) -> GradientCheckRow | None:
    """Return the check that was requested last, or None if none was."""
    of_experiment = select(GradientCheckRow).where(GradientCheckRow.experiment_id == experiment_id)
    return session.scalar(of_experiment.order_by(GradientCheckRow.id.desc()).limit(1))


def has_request(session: Session) -> bool:
    """Return whether a check waits for a worker. Writes nothing and takes no lock."""
    return bool(session.scalar(select(exists().where(is_free))))


def claim(session: Session, *, worker: str, lease_seconds: float, max_attempts: int) -> CheckClaim | None:
    """Claim the check that was requested first, or return None if none waits.

    A check whose workers were lost too often is ended with an error instead, because it may be the cause.
    """
    candidates = select(GradientCheckRow).where(is_free).order_by(GradientCheckRow.id).limit(1)
    check = session.scalar(candidates.with_for_update(skip_locked=True))
    if check is None:
        return None
    if check.lease_expires_at is not None:
        check.lost_attempts += 1
    if check.lost_attempts >= max_attempts:
        _end_lost(session, check)
        return None
    check.attempt, check.worker = check.attempt + 1, worker
    session.flush()
    claim = CheckClaim(check.id, check.experiment_id, check.attempt)
    heartbeat(session, claim, lease_seconds=lease_seconds)
    return claim


def heartbeat(session: Session, claim: CheckClaim, *, lease_seconds: float) -> None:
    """Extend the lease. Raises CheckLost if the claim is no longer current."""
    _write(session, claim, lease_expires_at=database_now() + sql_cast(lease_seconds, Double))


def finish(session: Session, claim: CheckClaim, result: dict[str, Any]) -> None:
    """Store the result. It may be repeated. Raises CheckLost if the claim is no longer current."""
    _end(session, claim, result=result)


def fail(session: Session, claim: CheckClaim, error: str) -> None:
    """Store why the check could not be taken. It may be repeated. Raises CheckLost if the claim is not current."""
    _end(session, claim, error=error.encode(errors="replace").decode().replace("\0", "?"))


def release(session: Session, claim: CheckClaim, *, lost: bool) -> None:
    """Return a check to the next worker. lost: whether its process died or hung. Raises CheckLost."""
    lost_attempts = GradientCheckRow.lost_attempts + int(lost)
    _write(session, claim, lease_expires_at=None, worker=None, lost_attempts=lost_attempts)


def _end(session: Session, claim: CheckClaim, **outcome: Any) -> None:
    check = session.get(GradientCheckRow, claim.id)
    if check is not None and check.attempt == claim.attempt and check.ended_at is not None:
        return  # the commit succeeded before, and its reply was lost
    _write(session, claim, ended_at=database_now(), lease_expires_at=None, **outcome)


def _end_lost(session: Session, check: GradientCheckRow) -> None:
    check.error = f"its worker was lost {check.lost_attempts} times"
    check.ended_at, check.lease_expires_at = session.scalar(select(database_now())), None


def _write(session: Session, claim: CheckClaim, **values: Any) -> None:
    """Set columns of the check, on the condition that the claim is current."""
    written = update(GradientCheckRow).where(_is_claimed(claim)).values(**values).returning(GradientCheckRow.id)
    if session.execute(written, execution_options={"synchronize_session": False}).first() is None:
        raise CheckLost(claim.experiment_id)


def _is_claimed(claim: CheckClaim) -> ColumnElement[bool]:
    # A released check keeps its attempt, but has no lease.
    current = and_(GradientCheckRow.id == claim.id, GradientCheckRow.attempt == claim.attempt, is_open)
    return and_(current, GradientCheckRow.worker.is_not(None))
