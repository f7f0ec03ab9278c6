"""Which queued experiment is claimed next: the oldest of the highest priority, in the group whose turn it is."""

from typing import Any

from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.orm import Session

from normlab.spec.lifecycle import Status
from normlab.store.models import Experiment, GroupRow

CLAIM_LOCK = 7411019  # the number of PostgreSQL's advisory lock; any number that nothing else uses

is_queued = Experiment.status == Status.QUEUED


def select_candidate(session: Session) -> Any:
    """Lock and return the experiment that is next.

    Without the advisory lock, two concurrent claims on PostgreSQL would take the turn of the same group.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(CLAIM_LOCK)))
    highest = select(func.max(Experiment.priority)).where(is_queued).scalar_subquery()
    is_next = and_(is_queued, Experiment.priority == highest)
    return session.execute(
        select(Experiment.id, Experiment.attempt, Experiment.queue_group)
        .where(is_next, Experiment.queue_group == _next_group(is_next))
        .order_by(Experiment.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    ).first()


def _next_group(is_next: ColumnElement[bool]) -> Any:
    """The queued group with the oldest claim. A group that was never claimed from comes first.

    The recursive query moves from one queued group to the next along the index, so that neither ended experiments nor
    the other experiments of a group are read.
    """
    groups = select(func.min(Experiment.queue_group).label("name")).where(is_next).cte("queued_groups", recursive=True)
    following = select(func.min(Experiment.queue_group)).where(is_next, Experiment.queue_group > groups.c.name)
    groups = groups.union_all(select(following.scalar_subquery()).where(groups.c.name.is_not(None)))
    turn = select(GroupRow.claimed_at).where(GroupRow.name == groups.c.name).scalar_subquery()
    ordered = select(groups.c.name).where(groups.c.name.is_not(None)).order_by(turn.nulls_first(), groups.c.name)
    return ordered.limit(1).scalar_subquery()
