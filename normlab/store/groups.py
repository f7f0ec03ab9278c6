"""The groups of experiments, and how many experiments each has in each state."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from normlab.spec.lifecycle import Status
from normlab.store.models import Experiment, GroupRow


@dataclass(frozen=True)
class GroupCounts:
    """A group and the number of its experiments in each state. name: "" for experiments without a group."""

    name: str
    statuses: dict[Status, int]


def list_groups(session: Session, *, limit: int, after: str | None = None) -> tuple[list[GroupCounts], bool]:
    """Return at most `limit` groups, sorted by name, and whether more follow. after: the last one of the page before.

    A group whose experiments were all deleted is listed with counts of 0.
    """
    query = select(GroupRow.name).order_by(GroupRow.name).limit(limit + 1)
    names = session.scalars(query if after is None else query.where(GroupRow.name > after)).all()
    counts = _counts(session, names[:limit])
    return [GroupCounts(name, counts[name]) for name in names[:limit]], len(names) > limit


def _counts(session: Session, names: Sequence[str]) -> dict[str, dict[Status, int]]:
    counts = {name: dict.fromkeys(Status, 0) for name in names}
    rows = session.execute(
        select(Experiment.queue_group, Experiment.status, func.count())
        .where(Experiment.queue_group.in_(names))
        .group_by(Experiment.queue_group, Experiment.status)
    )
    for name, status, number in rows:
        counts[name][status] = number
    return counts
