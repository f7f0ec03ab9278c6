"""A worker's verbs: how an experiment is claimed, kept, given back and ended.

Each takes a session and never commits: the caller's `with writing.begin()` shows the transaction. Each names its claim;
if the claim is no longer current it changes nothing and raises ClaimLost. All clocks are the database's.
"""

from dataclasses import dataclass
from typing import Any, Literal, cast

from sqlalchemy import ColumnElement, Double, Update, and_, case, exists, func, insert, select, update
from sqlalchemy import cast as sql_cast
from sqlalchemy.orm import Session

from service.experiments.database import database_now
from service.experiments.errors import ClaimLost
from service.experiments.models import Attempt, Experiment, GroupRow

MOST_ATTEMPTS = 5  # that an experiment may lose: it may be what ends its workers
STALLED = "its worker was not heard of until the lease ran out"
CLAIMING = 7411019  # PostgreSQL's lock for it; any number that nothing else uses

Wish = Literal["cancel", "pause", "end: its time is up"]

_WISHED = (Experiment.wish, Experiment.max_run_seconds, Experiment.attempts_before)
_is_queued = Experiment.status == "queued"
_has_stalled = and_(Experiment.status == "running", Experiment.lease_expires_at < database_now())


@dataclass(frozen=True)
class Claim:
    """The right to run one experiment, good while its attempt is the current one."""

    experiment_id: int
    attempt: int


def look(session: Session) -> tuple[bool, bool]:
    """Whether something waits, and whether something has lost its worker; writes nothing and makes nobody wait."""
    waits, stalled = session.execute(select(exists().where(_is_queued), exists().where(_has_stalled))).one()
    return waits, stalled


def claim(session: Session, *, worker: str, lease_seconds: float) -> Claim | None:
    """Take what comes next, if anything does: of the highest priority, in the group that waits longest, the oldest."""
    if session.get_bind().dialect.name == "postgresql":  # or of two claims at once both would see the same group's turn
        session.execute(select(func.pg_advisory_xact_lock(CLAIMING)))
    highest = select(func.max(Experiment.priority)).where(_is_queued).scalar_subquery()
    waits = and_(_is_queued, Experiment.priority == highest)
    # From one waiting group to the next along the index: what has ended, or waits behind others, is never looked at.
    groups = select(func.min(Experiment.group).label("name")).where(waits).cte("waiting_groups", recursive=True)
    following = select(func.min(Experiment.group)).where(waits, Experiment.group > groups.c.name).scalar_subquery()
    groups = groups.union_all(select(following).where(groups.c.name.is_not(None)))
    turn = select(GroupRow.claimed_at).where(GroupRow.name == groups.c.name).scalar_subquery()
    group = (
        select(groups.c.name)
        .where(groups.c.name.is_not(None))
        .order_by(turn.nulls_first(), groups.c.name)
        .limit(1)
        .scalar_subquery()
    )
    upcoming = session.execute(
        select(Experiment.id, Experiment.group)
        .where(waits, Experiment.group == group)
        .order_by(Experiment.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    ).first()
    if upcoming is None:
        return None
    attempt = session.execute(
        update(Experiment)
        .where(Experiment.id == upcoming.id)
        .values(
            status="running",
            attempt=Experiment.attempt + 1,
            worker=worker,
            lease_expires_at=_after(lease_seconds),
            started_at=func.coalesce(Experiment.started_at, database_now()),
        )
        .returning(Experiment.attempt)
    ).scalar_one()
    session.execute(update(GroupRow).where(GroupRow.name == upcoming.group).values(claimed_at=database_now()))
    session.execute(
        insert(Attempt).values(experiment_id=upcoming.id, attempt=attempt, worker=worker, claimed_at=database_now())
    )
    return Claim(upcoming.id, attempt)


def heartbeat(session: Session, held: Claim, *, step: int | None, lease_seconds: float) -> Wish | None:
    """Lengthen the lease and note how far training is, if that is known; returns what is wished of the worker."""
    # What was recorded may be further than what the supervisor heard of.
    known = {} if step is None else {"step": case((Experiment.step < step, step), else_=Experiment.step)}
    row = session.execute(
        _held(held).values(lease_expires_at=_after(lease_seconds), **known).returning(*_WISHED)
    ).first()
    return _wish(session, held, row)


def wish(session: Session, held: Claim) -> Wish | None:
    """What is wished of the worker, without writing."""
    return _wish(session, held, session.execute(select(*_WISHED).where(_is_held(held))).first())


def certify(session: Session, held: Claim, gradient_check: list[dict[str, Any]]) -> None:
    """Note how far each layer's gradients were from autograd's before training."""
    still_held(session, held, gradient_check=gradient_check)


def describe(
    session: Session, held: Claim, *, provenance: dict[str, Any], steps_total: int, resumed_at_step: int | None
) -> None:
    """Note what this attempt runs on, how many steps there are in all, and after how many of them it goes on."""
    still_held(session, held, provenance=provenance, steps_total=steps_total, step=resumed_at_step or 0)
    session.execute(
        update(Attempt)
        .where(Attempt.experiment_id == held.experiment_id, Attempt.attempt == held.attempt)
        .values(resumed_at_step=resumed_at_step, provenance=provenance)
    )


def give_back(session: Session, held: Claim) -> None:
    """Put a running experiment back into the queue, for any worker to go on from its last checkpoint.

    Whose cancellation or pause is wished for, at this moment and not when its worker heard of it, has that instead.
    """
    put_back = _held(held).values(
        status=_wished_or("queued"), ended_at=_now_if_cancelled(), worker=None, lease_expires_at=None, wish=None
    )
    status = session.scalar(put_back.returning(Experiment.status))
    if status is None:
        raise lost(held)
    _close(session, held, "given back" if status == "queued" else status)


def succeed(session: Session, held: Claim) -> None:
    """End an experiment whose epochs are all recorded."""
    _end(session, held, "succeeded")


def fail(session: Session, held: Claim, error: str) -> None:
    """End an experiment with what went wrong; its records are kept."""
    _end(session, held, "failed", error)


def cancel(session: Session, held: Claim) -> None:
    """End an experiment whose cancellation was wished for; its records are kept."""
    _end(session, held, "cancelled")


def lose(session: Session, held: Claim, why: str, *, most_attempts: int = MOST_ATTEMPTS) -> None:
    """Give up an attempt whose training died or hangs: back into the queue, but for the last attempt, which fails."""
    if not _put_back(session, _is_held(held), why, most_attempts, skip_locked=False):
        raise lost(held)


def requeue_stalled(session: Session, *, most_attempts: int = MOST_ATTEMPTS) -> int:
    """Give up what runs on a lease that has run out; returns how many those were.

    Their workers' next writes find the attempt gone as soon as somebody claims again, and the status at once.
    """
    return _put_back(session, _has_stalled, STALLED, most_attempts, skip_locked=True)


def requeue_those_stalled(session: Session, which: ColumnElement[bool]) -> None:
    """The same of these alone, for whoever wishes something of them: all workers may be busy for hours."""
    _put_back(session, and_(which, _has_stalled), STALLED, MOST_ATTEMPTS, skip_locked=False)


def still_held(session: Session, held: Claim, **values: Any) -> None:
    """Check that the claim is current, in the caller's transaction, and set columns of the experiment in passing."""
    written = _held(held).values(**(values or {"attempt": held.attempt})).returning(Experiment.id)
    if session.execute(written).first() is None:
        raise lost(held)


def lost(held: Claim) -> ClaimLost:
    """What is raised when a claim is no longer current."""
    return ClaimLost(f"attempt {held.attempt} of experiment {held.experiment_id} is no longer the current one")


def _put_back(session: Session, which: ColumnElement[bool], why: str, most_attempts: int, *, skip_locked: bool) -> int:
    """Queue them again, or heed a wish, or fail who has lost too many; returns how many those were."""
    found = session.execute(
        select(Experiment.id, Experiment.lease_expires_at)
        .where(which)
        .order_by(Experiment.id)
        .with_for_update(skip_locked=skip_locked)
    ).all()
    losses = (
        select(func.count())
        .where(
            Attempt.experiment_id == Experiment.id,
            Attempt.attempt > Experiment.attempts_before,
            Attempt.outcome == "lost",
        )
        .scalar_subquery()
    )
    too_many = and_(Experiment.wish.is_(None), losses >= most_attempts)
    for experiment_id, expires_at in found:
        # Nobody ran it after its lease, however late that was noticed.
        ended_at = case((database_now() > expires_at, expires_at), else_=database_now())
        session.execute(
            update(Attempt)
            .where(Attempt.experiment_id == experiment_id, Attempt.ended_at.is_(None))
            .values(ended_at=ended_at, outcome="lost", detail=why)
        )
        session.execute(
            update(Experiment)
            .where(Experiment.id == experiment_id)
            .values(
                status=case((too_many, "failed"), else_=_wished_or("queued")),
                ended_at=case((too_many, database_now()), else_=_now_if_cancelled()),
                error=case(
                    (
                        too_many,
                        f"its worker was lost {most_attempts} times, at last because {why}: `attempts` has them "
                        "all. It may need more memory than there is; retry it if the machine was to blame",
                    ),
                    else_=None,
                ),
                worker=None,
                lease_expires_at=None,
                wish=None,
            )
        )
    return len(found)


def _wish(session: Session, held: Claim, row: Any) -> Wish | None:
    """What is wished, or that its time is up. Raises ClaimLost if there is no row of it."""
    if row is None:
        raise lost(held)
    if row.wish is None and row.max_run_seconds is not None:
        ran = func.sum(func.coalesce(Attempt.ended_at, database_now()) - Attempt.claimed_at)
        these = (Attempt.experiment_id == held.experiment_id, Attempt.attempt > row.attempts_before)
        seconds = session.scalar(select(ran).where(*these))
        if seconds is None:  # it was deleted since it was looked at
            raise lost(held)
        if seconds > row.max_run_seconds:
            return "end: its time is up"
    return cast(Wish | None, row.wish)


def _end(session: Session, held: Claim, status: str, error: str | None = None) -> None:
    if error is not None:  # it may name a file, whose name may be any bytes
        error = error.encode(errors="replace").decode().replace("\0", "?")
    still_held(session, held, status=status, error=error, ended_at=database_now(), lease_expires_at=None, wish=None)
    _close(session, held, status, error)


def _close(session: Session, held: Claim, outcome: str, detail: str | None = None) -> None:
    """End the attempt's history."""
    session.execute(
        update(Attempt)
        .where(Attempt.experiment_id == held.experiment_id, Attempt.attempt == held.attempt)
        .values(ended_at=database_now(), outcome=outcome, detail=detail)
    )


def _wished_or(status: str) -> ColumnElement[str]:
    """The status of an experiment that nobody runs any more."""
    return case((Experiment.wish == "cancel", "cancelled"), (Experiment.wish == "pause", "paused"), else_=status)


def _now_if_cancelled() -> ColumnElement[float | None]:
    return case((Experiment.wish == "cancel", database_now()), else_=None)


def _after(seconds: float) -> ColumnElement[float]:
    return database_now() + sql_cast(seconds, Double)


def _is_held(held: Claim) -> ColumnElement[bool]:
    return and_(Experiment.id == held.experiment_id, Experiment.attempt == held.attempt, Experiment.status == "running")


def _held(held: Claim) -> Update:
    return update(Experiment).where(_is_held(held))
