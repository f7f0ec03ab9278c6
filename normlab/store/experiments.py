"""Reads of experiments: one, several, a page of a list, and the attempts and the checkpoint's hash of one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from normlab.spec.experiment import ExperimentSpec
from normlab.spec.lifecycle import Status
from normlab.store.errors import NoSuchExperiment
from normlab.store.models import Attempt, CheckpointRow, Experiment, TagRow


@dataclass(frozen=True)
class Filter:
    """What the experiments of a list have in common. None stands for any value."""

    status: Status | None = None
    normalization: str | None = None
    dataset: str | None = None
    tag: str | None = None
    group: str | None = None


@dataclass(frozen=True)
class CheckpointSummary:
    """The newest checkpoint without its content. size: in bytes."""

    step: int
    size: int
    sha256: str


def get_experiment(session: Session, experiment_id: int) -> Experiment:
    """Return the experiment. Raises NoSuchExperiment."""
    experiment = session.get(Experiment, experiment_id)
    if experiment is None:
        raise NoSuchExperiment(experiment_id)
    return experiment


def spec_of(experiment: Experiment) -> ExperimentSpec:
    """Return the experiment's spec, with the number of classes that its worker has found, if it has read the images."""
    data = (experiment.provenance or {}).get("data") or {}
    return ExperimentSpec.stored(experiment.spec, data.get("classes"))


def get_experiments(session: Session, experiment_ids: Sequence[int]) -> list[Experiment]:
    """Return several experiments, in the given order. Raises NoSuchExperiment for the first that does not exist."""
    rows = {row.id: row for row in session.scalars(select(Experiment).where(Experiment.id.in_(experiment_ids)))}
    for experiment_id in experiment_ids:
        if experiment_id not in rows:
            raise NoSuchExperiment(experiment_id)
    return [rows[experiment_id] for experiment_id in experiment_ids]


def list_experiments(
    session: Session, chosen: Filter, *, newest_first: bool, limit: int, after: int | None = None
) -> tuple[Sequence[Experiment], bool]:
    """Return at most `limit` experiments, and whether more follow.

    after: the id of the last experiment of the page before.
    """
    query = select(Experiment).where(*_conditions(chosen))
    if after is not None:
        query = query.where(Experiment.id < after if newest_first else Experiment.id > after)
    query = query.order_by(Experiment.id.desc() if newest_first else Experiment.id)
    rows = session.scalars(query.limit(limit + 1)).all()
    return rows[:limit], len(rows) > limit


def list_attempts(session: Session, experiment_id: int) -> Sequence[Attempt]:
    """Return the attempts of an experiment, oldest first. Raises NoSuchExperiment."""
    get_experiment(session, experiment_id)
    attempts = select(Attempt).where(Attempt.experiment_id == experiment_id).order_by(Attempt.attempt)
    return session.scalars(attempts).all()


def checkpoint_summary(session: Session, experiment_id: int) -> CheckpointSummary | None:
    """Return the newest checkpoint's step, size and hash, or None before the first. Raises NoSuchExperiment."""
    get_experiment(session, experiment_id)
    columns = CheckpointRow.step, func.length(CheckpointRow.content), CheckpointRow.sha256
    row = session.execute(select(*columns).where(CheckpointRow.experiment_id == experiment_id)).first()
    return None if row is None else CheckpointSummary(*row)


def _conditions(chosen: Filter) -> Iterator[ColumnElement[bool]]:
    for column, value in (
        (Experiment.status, chosen.status),
        (Experiment.normalization, chosen.normalization),
        (Experiment.dataset, chosen.dataset),
        (Experiment.queue_group, chosen.group),
    ):
        if value is not None:
            yield column == value
    if chosen.tag is not None:
        yield Experiment.id.in_(select(TagRow.experiment_id).where(TagRow.tag == chosen.tag))
