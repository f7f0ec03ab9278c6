"""Labels: the name and the tags of an experiment. They can be changed in any state, because no training reads them."""

import unicodedata
from collections.abc import Mapping, Sequence

from sqlalchemy import delete, insert
from sqlalchemy.orm import Session

from normlab.store.errors import NoSuchExperiment
from normlab.store.models import Experiment, TagRow


def rename(session: Session, experiment_id: int, name: str | None) -> Experiment:
    """Change the name of an experiment in any state, or remove it (None). Raises NoSuchExperiment."""
    experiment = _locked(session, experiment_id)
    experiment.name, experiment.name_folded = name, folded(name)
    experiment.spec = experiment.spec | {"name": name}
    return experiment


def retag(session: Session, experiment_id: int, tags: Sequence[str]) -> Experiment:
    """Replace the tags of an experiment in any state. Raises NoSuchExperiment."""
    experiment = _locked(session, experiment_id)
    session.execute(delete(TagRow).where(TagRow.experiment_id == experiment_id))
    add_tags(session, {experiment_id: tags})
    experiment.spec = experiment.spec | {"tags": list(tags)}
    return experiment


def add_tags(session: Session, tags: Mapping[int, Sequence[str]]) -> None:
    """Insert the tags of experiments without any, by experiment. A repeated tag counts once."""
    rows = [{"experiment_id": number, "tag": tag} for number, names in tags.items() for tag in sorted(set(names))]
    if rows:  # an insert without rows would insert one of defaults
        session.execute(insert(TagRow), rows)


def folded(name: str | None) -> str | None:
    """Return a name without upper case and with composed characters: lists compare names in this form.

    The databases cannot do this: SQLite folds ASCII alone, and PostgreSQL as its server's language demands.
    """
    return None if name is None else unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _locked(session: Session, experiment_id: int) -> Experiment:
    experiment = session.get(Experiment, experiment_id, with_for_update=True)
    if experiment is None:
        raise NoSuchExperiment(experiment_id)
    return experiment
