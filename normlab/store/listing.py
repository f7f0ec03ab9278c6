"""Lists of experiments: filtered, sorted, and cut into pages that stay right while experiments are added.

A list first reads the ids of a page and then the columns that its rows show. Sorting never carries a whole row.
"""

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import Session

from normlab.spec.lifecycle import Status
from normlab.store.labels import folded
from normlab.store.models import Experiment, TagRow
from normlab.store.spec_filter import spec_has

SortKey = Literal["id", "created_at", "ended_at", "duration", "name", "last_test_accuracy", "best_test_accuracy"]
SORT_KEYS: tuple[SortKey, ...] = get_args(SortKey)

_KEYS: dict[SortKey, ColumnElement[Any]] = {
    "id": Experiment.id.expression,
    "created_at": Experiment.created_at.expression,
    "ended_at": Experiment.ended_at.expression,
    "duration": Experiment.ended_at - Experiment.started_at,
    "name": Experiment.name_folded.expression,
    "last_test_accuracy": Experiment.last_test_accuracy.expression,
    "best_test_accuracy": Experiment.best_test_accuracy.expression,
}
_SUMMARY = (
    Experiment.id, Experiment.status, Experiment.name, Experiment.normalization, Experiment.dataset, Experiment.seed,
    Experiment.queue_group, Experiment.priority, Experiment.epochs_done, Experiment.epochs_total, Experiment.step,
    Experiment.steps_total, Experiment.last_train_loss, Experiment.last_test_loss, Experiment.last_test_accuracy,
    Experiment.best_test_accuracy, Experiment.created_at, Experiment.started_at, Experiment.ended_at, Experiment.error,
    Experiment.warnings, Experiment.phase, Experiment.images_per_second, Experiment.seconds_left,
)  # fmt: skip


@dataclass(frozen=True)
class Filter:
    """What the experiments of a list have in common. None and an empty collection stand for any value.

    name: a text inside the name, in upper or lower case. tags: all of them. spec: values of the spec, by field.
    """

    status: Status | None = None
    normalization: str | None = None
    dataset: str | None = None
    group: str | None = None
    seed: int | None = None
    name: str | None = None
    tags: tuple[str, ...] = ()
    spec: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Order:
    """The order of a list. Experiments without a value of the key come last in both directions."""

    key: SortKey = "id"
    descending: bool = True


@dataclass(frozen=True)
class Position:
    """The end of a page: its last experiment's id and value of the sort key. value: None for the key `id`."""

    id: int
    value: float | str | None = None


def list_ids(
    session: Session, chosen: Filter, order: Order, *, limit: int, after: Position | None = None
) -> tuple[list[int], Position | None]:
    """Return the ids of one page, and the page's end if more experiments follow.

    after: the end of the page before. It names values and not a row, so it stays valid when that row changes.
    """
    key = _KEYS[order.key]
    query = select(Experiment.id, key.label("value")).where(*_conditions(chosen, session.get_bind().dialect.name))
    if after is not None:
        query = query.where(_follows(order, after))
    towards = ColumnElement.desc if order.descending else ColumnElement.asc
    by_key = [] if order.key == "id" else [towards(key).nulls_last()]
    query = query.order_by(*by_key, towards(Experiment.id.expression)).limit(limit + 1)
    # Each choice of filters is another statement, of up to 60 conditions. Compiled ones would fill the memory.
    options = {} if chosen == Filter() else {"compiled_cache": None}
    rows = session.execute(query, execution_options=options).all()
    page = rows[:limit]
    end = None
    if len(rows) > limit:
        end = Position(page[-1].id, None if order.key == "id" else page[-1].value)
    return [row.id for row in page], end


def summaries(session: Session, ids: Sequence[int]) -> list[Any]:
    """Return a row of columns for each experiment, in the order of the ids, without specs and other JSON.

    An experiment that was deleted after its id was read is left out.
    """
    rows = {row.id: row for row in session.execute(select(*_SUMMARY).where(Experiment.id.in_(ids)))}
    return [rows[number] for number in ids if number in rows]


def whole_experiments(session: Session, ids: Sequence[int]) -> list[Experiment]:
    """Return the experiments in the order of the ids. One that was deleted after its id was read is left out."""
    rows = {row.id: row for row in session.scalars(select(Experiment).where(Experiment.id.in_(ids)))}
    return [rows[number] for number in ids if number in rows]


def tags_of(session: Session, ids: Sequence[int]) -> dict[int, list[str]]:
    """Return the sorted tags of each of these experiments."""
    tags: dict[int, list[str]] = {number: [] for number in ids}
    for row in session.execute(select(TagRow.experiment_id, TagRow.tag).where(TagRow.experiment_id.in_(ids))):
        tags[row.experiment_id].append(row.tag)
    return {number: sorted(names) for number, names in tags.items()}


def _conditions(chosen: Filter, dialect: str) -> Iterator[ColumnElement[bool]]:
    for column, value in (
        (Experiment.status, chosen.status),
        (Experiment.normalization, chosen.normalization),
        (Experiment.dataset, chosen.dataset),
        (Experiment.queue_group, chosen.group),
        (Experiment.seed, chosen.seed),
    ):
        if value is not None:
            yield column == value
    if chosen.name is not None:
        yield Experiment.name_folded.contains(folded(chosen.name) or "", autoescape=True)
    for tag in dict.fromkeys(chosen.tags):
        yield Experiment.id.in_(select(TagRow.experiment_id).where(TagRow.tag == tag))
    for name, value in chosen.spec.items():
        yield spec_has(dialect, name, value)


def _follows(order: Order, after: Position) -> ColumnElement[bool]:
    """The condition that an experiment comes after this position."""
    key = _KEYS[order.key]
    beyond: Callable[[Any, Any], ColumnElement[bool]] = operator.lt if order.descending else operator.gt
    is_later = beyond(Experiment.id, after.id)
    if order.key == "id":
        return is_later
    if after.value is None:
        return and_(key.is_(None), is_later)
    return or_(beyond(key, after.value), and_(key == after.value, is_later), key.is_(None))
