"""Claims: how a worker takes an experiment, keeps it and ends it.

Every verb takes a session and never commits, so that the caller's `with writing.begin()` shows the transaction. Every
verb of a running experiment names its claim. It changes nothing and raises ClaimLost if the claim is no longer current.
The verbs that end a claim may be repeated, because a worker whose commit succeeded may have missed the reply.
All times are taken from the database's clock.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Double, Update, and_, case, exists, func, insert, select, update
from sqlalchemy import cast as sql_cast
from sqlalchemy.orm import Session

from normlab.spec.lifecycle import AttemptOutcome, Phase, RequestedAction, Status, StopReason
from normlab.store.candidate import is_queued, select_candidate
from normlab.store.database import database_now
from normlab.store.errors import ClaimLost
from normlab.store.live_progress import NOTHING_KNOWN, LiveProgress
from normlab.store.models import Attempt, Experiment, GroupRow

is_stalled = and_(Experiment.status == Status.RUNNING, Experiment.lease_expires_at < database_now())


@dataclass(frozen=True)
class Claim:
    """The right to run one experiment. It is valid while its attempt, the fencing token, is the current one."""

    experiment_id: int
    attempt: int


Verb = Callable[[Session, Claim], None]


def has_work(session: Session) -> tuple[bool, bool]:
    """Return whether an experiment is queued, and whether one's lease has expired. Writes nothing and takes no lock."""
    queued, stalled = session.execute(select(exists().where(is_queued), exists().where(is_stalled))).one()
    return queued, stalled


def claim(session: Session, *, worker: str, lease_seconds: float) -> Claim | None:
    """Claim the oldest experiment of the highest priority, in the group whose turn it is.

    Return None if no experiment is queued.
    """
    candidate = select_candidate(session)
    if candidate is None:
        return None
    claim = Claim(candidate.id, candidate.attempt + 1)
    _start(session, claim, worker, lease_seconds)
    session.execute(update(GroupRow).where(GroupRow.name == candidate.queue_group).values(claimed_at=database_now()))
    return claim


def heartbeat(
    session: Session, claim: Claim, *, step: int | None, lease_seconds: float, live: LiveProgress = NOTHING_KNOWN
) -> StopReason | None:
    """Extend the lease and store how far the training is, if known. Return why the training must stop, if it must."""
    renewed = {"lease_expires_at": _now_plus(lease_seconds), "revision": Experiment.revision}  # no record changes
    if step is not None:  # a record may have stored a later step than the one the supervisor has heard of
        renewed["step"] = case((Experiment.step < step, step), else_=Experiment.step)
    if live.phase is not None:
        renewed |= asdict(live)
    row = session.execute(_update_claimed(claim).values(renewed).returning(*_STOP_COLUMNS)).first()
    return _stop_reason(session, claim, row)


def stop_reason(session: Session, claim: Claim) -> StopReason | None:
    """Return why the training must stop, if it must. Writes nothing."""
    return _stop_reason(session, claim, session.execute(select(*_STOP_COLUMNS).where(is_claimed(claim))).first())


def start_attempt(
    session: Session, claim: Claim, *, provenance: dict[str, Any], steps_total: int, resumed_at_step: int | None
) -> None:
    """Store what the attempt runs on, how many steps there are, and after which it resumes (None: from the start)."""
    require_claim(session, claim, provenance=provenance, steps_total=steps_total, step=resumed_at_step or 0)
    session.execute(_update_attempt(claim).values(resumed_at_step=resumed_at_step, provenance=provenance))


def store_gradient_check(session: Session, claim: Claim, gradient_check: dict[str, Any]) -> None:
    """Store the result of the gradient check."""
    require_claim(session, claim, gradient_check=gradient_check)


def store_warnings(session: Session, claim: Claim, warnings: list[dict[str, Any]]) -> None:
    """Store the warnings that were found before the first record. They replace those that are stored."""
    require_claim(session, claim, warnings=warnings)


def release(session: Session, claim: Claim) -> None:
    """Return a running experiment to the queue, where any worker can resume it from its last checkpoint.

    A pending cancel or pause request takes precedence over requeueing. A repeated release changes nothing.
    """
    if outcome(session, claim) in (AttemptOutcome.RELEASED, AttemptOutcome.CANCELLED, AttemptOutcome.PAUSED):
        return
    released = _update_claimed(claim).values(
        status=status_after(Status.QUEUED), ended_at=now_if_cancelled(), worker=None, lease_expires_at=None,
        requested_action=None,
    )  # fmt: skip
    status = session.scalar(released.returning(Experiment.status))
    if status is None:
        raise ClaimLost(claim.experiment_id, claim.attempt)
    _end_attempt(session, claim, AttemptOutcome.RELEASED if status == Status.QUEUED else AttemptOutcome(status.value))


def succeed(session: Session, claim: Claim) -> None:
    """End an experiment whose epochs are all recorded."""
    _end(session, claim, Status.SUCCEEDED)


def fail(session: Session, claim: Claim, error: str) -> None:
    """End an experiment with an error message. Its records are kept."""
    _end(session, claim, Status.FAILED, error)


def cancel(session: Session, claim: Claim) -> None:
    """End an experiment that a user asked to cancel. Its records are kept."""
    _end(session, claim, Status.CANCELLED)


def verb_of(reason: StopReason) -> Verb | None:
    """Return the verb that ends the claim of a training stopped for this reason. None: nothing may be written."""
    match reason:
        case StopReason.CANCEL:
            return cancel
        case StopReason.PAUSE | StopReason.RELEASE:
            return release
        case StopReason.TIME_LIMIT:
            return partial(fail, error="it ran for longer than its max_run_seconds")
        case StopReason.CLAIM_LOST:
            return None


def require_claim(session: Session, claim: Claim, **values: Any) -> None:
    """Check in the caller's transaction that the claim is current, and set columns of its experiment."""
    written = _update_claimed(claim).values(**(values or {"attempt": claim.attempt})).returning(Experiment.id)
    if session.execute(written).first() is None:
        raise ClaimLost(claim.experiment_id, claim.attempt)


def outcome(session: Session, claim: Claim) -> AttemptOutcome | None:
    """Return how the claim's attempt ended. None: it has not ended, or its experiment was deleted."""
    attempt = (Attempt.experiment_id == claim.experiment_id, Attempt.attempt == claim.attempt)
    return session.scalar(select(Attempt.outcome).where(*attempt))


def is_claimed(claim: Claim) -> ColumnElement[bool]:
    """The condition of every write of a worker: the experiment runs, on this attempt (the fencing token)."""
    return and_(
        Experiment.id == claim.experiment_id, Experiment.attempt == claim.attempt, Experiment.status == Status.RUNNING
    )


def status_after(status: Status) -> ColumnElement[Status]:
    """The status of an experiment that no worker runs any more: the requested one, else the given one."""
    return case(
        (Experiment.requested_action == RequestedAction.CANCEL, Status.CANCELLED),
        (Experiment.requested_action == RequestedAction.PAUSE, Status.PAUSED),
        else_=status,
    )


def now_if_cancelled() -> ColumnElement[float | None]:
    """The end time of an experiment that no worker runs any more: only a cancelled one has ended."""
    return case((Experiment.requested_action == RequestedAction.CANCEL, database_now()), else_=None)


def _start(session: Session, claim: Claim, worker: str, lease_seconds: float) -> None:
    """Set the experiment to running and insert its attempt."""
    started = update(Experiment).where(Experiment.id == claim.experiment_id).values(
        status=Status.RUNNING, attempt=claim.attempt, worker=worker, lease_expires_at=_now_plus(lease_seconds),
        **asdict(LiveProgress(Phase.LOADING)),
        started_at=func.coalesce(Experiment.started_at, database_now()),
    )  # fmt: skip
    session.execute(started)
    attempt = {"experiment_id": claim.experiment_id, "attempt": claim.attempt, "worker": worker}
    session.execute(insert(Attempt).values(claimed_at=database_now(), **attempt))


_STOP_COLUMNS = (Experiment.requested_action, Experiment.max_run_seconds, Experiment.attempts_before_retry)


def _stop_reason(session: Session, claim: Claim, row: Any) -> StopReason | None:
    if row is None:
        raise ClaimLost(claim.experiment_id, claim.attempt)
    if row.requested_action is not None:
        return StopReason(row.requested_action.value)
    if row.max_run_seconds is None:
        return None
    seconds = _seconds_run(session, claim, row.attempts_before_retry)
    return StopReason.TIME_LIMIT if seconds > row.max_run_seconds else None


def _seconds_run(session: Session, claim: Claim, attempts_before_retry: int) -> float:
    """How many seconds workers have run the experiment since it was last retried."""
    run = func.sum(func.coalesce(Attempt.ended_at, database_now()) - Attempt.claimed_at)
    counted = (Attempt.experiment_id == claim.experiment_id, Attempt.attempt > attempts_before_retry)
    seconds = session.scalar(select(run).where(*counted))
    if seconds is None:  # the experiment was deleted between two statements
        raise ClaimLost(claim.experiment_id, claim.attempt)
    return float(seconds)


def _end(session: Session, claim: Claim, status: Status, error: str | None = None) -> None:
    if outcome(session, claim) == AttemptOutcome(status.value):
        return
    if error is not None:  # an error may quote a file name, which may hold bytes that the database refuses
        error = error.encode(errors="replace").decode().replace("\0", "?")
    require_claim(
        session, claim, status=status, error=error, ended_at=database_now(), lease_expires_at=None,
        requested_action=None,
    )  # fmt: skip
    _end_attempt(session, claim, AttemptOutcome(status.value), error)


def _end_attempt(session: Session, claim: Claim, outcome: AttemptOutcome, detail: str | None = None) -> None:
    session.execute(_update_attempt(claim).values(ended_at=database_now(), outcome=outcome, detail=detail))


def _update_claimed(claim: Claim) -> Update:
    return update(Experiment).where(is_claimed(claim))


def _update_attempt(claim: Claim) -> Update:
    return update(Attempt).where(Attempt.experiment_id == claim.experiment_id, Attempt.attempt == claim.attempt)


def _now_plus(seconds: float) -> ColumnElement[float]:
    return database_now() + sql_cast(seconds, Double)
