"""A requested gradient check: build the training at its newest checkpoint, check it, and store the result."""

import logging
from functools import partial

from normlab.spec.experiment import ExperimentSpec
from normlab.store import gradient_checks, records
from normlab.store.database import Database
from normlab.store.errors import CheckLost
from normlab.store.gradient_checks import CheckClaim
from normlab.store.models import CheckpointRow, Experiment
from worker.errors import InvalidExperiment
from worker.run.data_provenance import describe, require_same_data
from worker.run.experiment import EXPECTED_ERRORS
from worker.run.load_data import load_data
from worker.run.provenance import first_provenance
from worker.run.recorder import retry_until_available
from worker.settings import WorkerSettings
from worker.training import device as devices
from worker.training.checkpoints import unpack
from worker.training.gradient_check import check_gradients
from worker.training.threads import use_threads
from worker.training.training import Training

log = logging.getLogger(__name__)


def run_check(database: Database, claim: CheckClaim, settings: WorkerSettings) -> None:
    """Take a claimed check, and store its result or why it could not be taken.

    It has no stop: its supervisor ends the process instead, and then another worker takes the check.
    """
    try:
        check = check_gradients(_training(database, claim, settings))
        end = partial(gradient_checks.finish, claim=claim, result=check.model_dump(mode="json"))
    except EXPECTED_ERRORS as error:
        end = partial(gradient_checks.fail, claim=claim, error=str(error))
    except Exception as unexpected:
        log.exception("the gradient check of experiment %d failed", claim.experiment_id)
        # Of a database error only the driver's message, because its statement holds the values to be written.
        error_text = f"{type(unexpected).__name__}: {getattr(unexpected, 'orig', unexpected)}"
        end = partial(gradient_checks.fail, claim=claim, error=error_text)

    def store() -> None:
        with database.writing.begin() as session:
            end(session)

    try:
        retry_until_available(store, lambda: None)
    except CheckLost as lost:
        log.warning("%s", lost)
    else:
        log.info("the gradient check of experiment %d is done", claim.experiment_id)


def _training(database: Database, claim: CheckClaim, settings: WorkerSettings) -> Training:
    """Return the training as it stood at the checkpoint, with the engine that it began with."""
    experiment, checkpoint = retry_until_available(lambda: _read(database, claim), lambda: None)
    spec = ExperimentSpec.stored(experiment.spec)
    data = load_data(spec, settings.data_dir)
    began_with = None if experiment.provenance is None else first_provenance(experiment.provenance)
    require_same_data(describe(data), began_with)
    training = Training(spec, data, devices.choose(spec.device))
    training.resume(unpack(checkpoint.content, checkpoint.sha256))
    use_threads(training.layers, spec.batch_size, began_with)
    training.ready(spec.engine if began_with is None else began_with["engine"])
    return training


def _read(database: Database, claim: CheckClaim) -> tuple[Experiment, CheckpointRow]:
    with database.reading() as session:
        experiment = session.get(Experiment, claim.experiment_id)
        checkpoint = records.checkpoint(session, claim.experiment_id)
        if experiment is None or checkpoint is None:
            raise InvalidExperiment(f"experiment {claim.experiment_id} has no checkpoint any more")
        return experiment, checkpoint
