"""Reads of experiments: one, several, and the attempts and the checkpoint's hash of one."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from normlab.spec.experiment import ExperimentSpec
from normlab.store.errors import NoSuchExperiment
from normlab.store.models import Attempt, CheckpointRow, Experiment


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
