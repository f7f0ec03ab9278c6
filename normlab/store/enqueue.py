"""Enqueueing: new experiments, and the idempotency keys that keep a repeated request from creating a second one."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from normlab.spec.experiment import ExperimentSpec
from normlab.spec.lifecycle import Status
from normlab.store.database import database_now
from normlab.store.errors import IdempotencyKeyReused
from normlab.store.labels import add_tags, folded
from normlab.store.models import Base, Experiment, GroupRow, IdempotencyKeyRow

_Known = dict[tuple[str, str], tuple[Experiment, str]]  # by scoped key: the experiment and the digest


@dataclass(frozen=True)
class IdempotencyKey:
    """A client's name for one request. digest: a hash of the request's body. api_key: the id of the API key, or ""."""

    key: str
    digest: str
    api_key: str = ""

    @property
    def scoped(self) -> tuple[str, str]:
        """The key within its API key: two API keys may use the same one."""
        return self.api_key, self.key


@dataclass(frozen=True)
class Submission:
    """A spec to be queued, with the request's idempotency key if it has one."""

    spec: ExperimentSpec
    idempotency: IdempotencyKey | None = None


def enqueue_all(session: Session, submissions: Sequence[Submission]) -> list[Experiment | IdempotencyKeyReused]:
    """Queue several experiments in the given order. Never commits.

    Return for each the new experiment; the earlier one if its idempotency key came with the same body before; or the
    error if the key came with another body.
    """
    known = _known(session, [each.idempotency for each in submissions if each.idempotency is not None])
    now = session.scalar(select(database_now()))
    results: list[Experiment | IdempotencyKeyReused] = []
    created: list[tuple[Experiment, Submission]] = []
    for submission in submissions:
        result = _earlier(known, submission.idempotency)
        if result is None:
            result = _experiment(submission.spec, now)
            created.append((result, submission))
            if submission.idempotency is not None:
                known[submission.idempotency.scoped] = result, submission.idempotency.digest
        results.append(result)
    _insert(session, created)
    return results


def is_known(session: Session, key: IdempotencyKey) -> bool:
    """Return whether an experiment was queued with this key before."""
    return bool(_known(session, [key]))


def _known(session: Session, keys: Iterable[IdempotencyKey]) -> _Known:
    """Return the experiments and the digests of the keys that were used before."""
    scoped = {key.scoped for key in keys}
    if not scoped:
        return {}
    rows = session.execute(
        select(IdempotencyKeyRow, Experiment)
        .join(Experiment, Experiment.id == IdempotencyKeyRow.experiment_id)
        .where(tuple_(IdempotencyKeyRow.api_key, IdempotencyKeyRow.key).in_(scoped))
    )
    return {(row.api_key, row.key): (experiment, row.digest) for row, experiment in rows}


def _earlier(known: _Known, idempotency: IdempotencyKey | None) -> Experiment | IdempotencyKeyReused | None:
    """Return the experiment that the key's first request created, or the error if that request had another body."""
    if idempotency is None or idempotency.scoped not in known:
        return None
    experiment, digest = known[idempotency.scoped]
    return experiment if digest == idempotency.digest else IdempotencyKeyReused(idempotency.key)


def _insert(session: Session, created: Sequence[tuple[Experiment, Submission]]) -> None:
    """Insert the experiments, then their keys, groups and tags.

    Keys and groups are inserted in sorted order, so that two transactions never wait for each other.
    """
    session.add_all(experiment for experiment, _ in created)
    session.flush()
    _insert_rows(session, IdempotencyKeyRow, sorted(_key_rows(created), key=lambda row: (row["api_key"], row["key"])))
    for group in sorted({submission.spec.group for _, submission in created if submission.spec.group}):
        _add_group(session, group)
    add_tags(session, {experiment.id: submission.spec.tags for experiment, submission in created})


def _key_rows(created: Sequence[tuple[Experiment, Submission]]) -> Iterator[dict[str, Any]]:
    for experiment, submission in created:
        if (key := submission.idempotency) is not None:
            yield {"api_key": key.api_key, "key": key.key, "digest": key.digest, "experiment_id": experiment.id}


def _insert_rows(session: Session, table: type[Base], rows: Sequence[dict[str, Any]]) -> None:
    if rows:  # an insert without rows would insert one of defaults
        session.execute(insert(table), rows)


def _add_group(session: Session, group: str) -> None:
    """Insert the group if it is new, so that a claim finds when the group had its last turn."""
    on_sqlite = session.get_bind().dialect.name == "sqlite"
    row = sqlite.insert(GroupRow) if on_sqlite else postgresql.insert(GroupRow)
    session.execute(row.values(name=group).on_conflict_do_nothing())


def _experiment(spec: ExperimentSpec, now: float | None) -> Experiment:
    return Experiment(
        created_at=now,
        spec=spec.model_dump(mode="json"),
        name=spec.name,
        name_folded=folded(spec.name),
        normalization=spec.normalization,
        dataset=spec.dataset,
        seed=spec.seed,
        queue_group=spec.group or "",
        priority=spec.priority,
        max_run_seconds=spec.max_run_seconds,
        status=Status.QUEUED,
        attempt=0,
        attempts_before_retry=0,
        epochs_done=0,
        epochs_total=spec.epochs,
        step=0,
    )
