"""The run of one claimed experiment: train, record every epoch, and store how it ended."""

import logging
import time
from dataclasses import replace
from functools import partial
from typing import Any

from sqlalchemy.orm import Session
from torch import Tensor

from normlab.spec.experiment import ExperimentSpec
from normlab.spec.lifecycle import Phase, StopReason
from normlab.spec.size_estimate import MAX_STEPS
from normlab.store import claims, records
from normlab.store.claims import Claim, Verb
from normlab.store.database import Database
from normlab.store.errors import ClaimLost
from normlab.store.live_progress import LiveProgress
from normlab.store.models import CheckpointRow, Experiment
from normlab.store.records import Record
from worker.datasets import DatasetUnavailable
from worker.errors import InvalidExperiment
from worker.run import progress
from worker.run.data_provenance import OTHER_DATA, describe, require_same_data
from worker.run.find_warnings import Warnings, before_training, of_record
from worker.run.interruptible import run_interruptibly
from worker.run.load_data import load_data
from worker.run.pace import Pace
from worker.run.provenance import first_provenance, provenance
from worker.run.recorder import Recorder, retry_until_available
from worker.run_control import RunControl, StopRequested
from worker.settings import WorkerSettings
from worker.training import device as devices
from worker.training.checkpoints import unpack
from worker.training.device import DeviceUnavailable
from worker.training.divergence import Diverged, first_nonfinite_value
from worker.training.gradient_check import WrongGradient, check_gradients
from worker.training.threads import use_threads
from worker.training.training import Training

log = logging.getLogger(__name__)

# Errors whose messages are written for the user of the experiment.
EXPECTED_ERRORS = (DatasetUnavailable, DeviceUnavailable, WrongGradient, InvalidExperiment)


def run(database: Database, claim: Claim, settings: WorkerSettings, control: RunControl) -> bool:
    """Run a claimed experiment and store how it ended. Return whether the claim was current to the end."""
    number, running = claim.experiment_id, _Run(database, claim, settings, control)
    try:
        end, outcome = _train(number, running)
        running.end(end)
    except ClaimLost as lost:
        log.warning("%s; the experiment was deleted, or another worker has it", lost)
        return False
    log.info("experiment %d %s", number, outcome)
    return True


def _train(number: int, running: "_Run") -> tuple[Verb, str]:
    """Train. Return the verb that ends the claim, and the outcome in words. Raises ClaimLost."""
    try:
        running.train()
        return claims.succeed, "succeeded"
    except StopRequested as stop:
        end = claims.verb_of(stop.reason)
        assert end is not None, "a lost claim raises ClaimLost"
        if stop.reason != StopReason.CANCEL:
            end = partial(_record_and_end, record=running.unrecorded(), end=end)
        return end, f"stopped before its last epoch. {stop}"
    except Diverged as diverged:
        fail = partial(claims.fail, error=str(diverged))
        return partial(_record_and_end, record=diverged.record, end=fail), f"failed: {diverged}"
    except EXPECTED_ERRORS as error:
        return partial(claims.fail, error=str(error)), f"failed: {error}"
    except ClaimLost:
        raise
    except Exception as unexpected:
        log.exception("experiment %d failed", number)
        # Of a database error only the driver's message, because its statement holds the values to be written.
        error_text = f"{type(unexpected).__name__}: {getattr(unexpected, 'orig', unexpected)}"
        return partial(claims.fail, error=error_text), f"failed: {error_text}"


class _Run:
    """The training of one experiment, once it has started, and its recorder."""

    def __init__(self, database: Database, claim: Claim, settings: WorkerSettings, control: RunControl) -> None:
        self._database, self._claim, self._settings, self._control = database, claim, settings, control
        self._recorder = Recorder(database, claim, self._advance)
        self._training: Training | None = None
        self._warnings = Warnings([])
        self._ending = False

    def train(self) -> None:
        """Train from the last checkpoint, or from the start, to the last epoch."""
        self._enter(Phase.LOADING)
        experiment, checkpoint = retry_until_available(self._read, self._advance)
        spec = ExperimentSpec.stored(experiment.spec)
        device = devices.choose(spec.device)
        data = run_interruptibly(lambda: load_data(spec, self._settings.data_dir), self._check)
        description = run_interruptibly(lambda: describe(data), self._check)
        began_with = None if experiment.provenance is None else first_provenance(experiment.provenance)
        if checkpoint is not None:
            require_same_data(description, began_with)
        training = Training(spec, data, device)
        use_threads(training.layers, spec.batch_size, began_with)
        if checkpoint is not None:
            training.resume(unpack(checkpoint.content, checkpoint.sha256))
            if training.epochs_done != experiment.epochs_done:  # an older release stored no hash of the data
                raise InvalidExperiment(f"the training began with another number of images: {OTHER_DATA}")
        self._start_attempt(experiment, training, description)
        if spec.gradient_check and not training.steps_done:
            self._check_gradients(training)
        self._training = training
        self._run_epochs(training)
        self._recorder.write_pending()

    def unrecorded(self) -> Record | None:
        """Return a record of the steps since the last record, so that they need not be trained again."""
        record = None if self._training is None else self._training.unrecorded()
        return record and self._with_warnings(record)

    def end(self, verb: Verb) -> None:
        """Write the pending record, then end the claim with the verb. Raises ClaimLost."""
        self._ending = True
        self._recorder.write_pending()
        self._recorder.write(verb)

    def _read(self) -> tuple[Experiment, CheckpointRow | None]:
        with self._database.reading() as session:
            experiment = session.get(Experiment, self._claim.experiment_id)
            if experiment is None:
                raise ClaimLost(self._claim.experiment_id, self._claim.attempt)
            return experiment, records.checkpoint(session, self._claim.experiment_id)

    def _start_attempt(self, experiment: Experiment, training: Training, data: dict[str, Any]) -> None:
        """Prepare the engine and store what the attempt runs on.

        Raises InvalidExperiment if the training has too many steps.
        """
        spec, number = training.spec, self._claim.experiment_id
        steps_total = spec.epochs * training.steps_per_epoch
        if steps_total > MAX_STEPS:  # checked first, because an engine may take minutes to prepare
            raise InvalidExperiment(
                f"expected at most {MAX_STEPS:,} training steps, got {steps_total:,}: reduce epochs or train_size, or "
                "increase batch_size"
            )
        # A training keeps the engine that it began with, because its last bits depend on the engine.
        before = experiment.provenance
        engine_name = spec.engine if before is None else first_provenance(before)["engine"]
        self._enter(Phase.COMPILING)
        choice = run_interruptibly(lambda: training.ready(engine_name), self._check)
        log.info("experiment %d: engine %s, %s", number, choice.name, choice.reason)
        resumed = training.steps_done or None
        provenance_now = provenance(
            training.device, choice, data=data, seed=spec.seed, resumed_at_step=resumed, before=before
        )
        for difference in provenance_now["differs"]:
            log.warning("experiment %d: the last bits of its result may differ; %s", number, difference)
        self._recorder.write(
            partial(claims.start_attempt, provenance=provenance_now, steps_total=steps_total, resumed_at_step=resumed)
        )

        self._warnings = Warnings(experiment.warnings)
        if self._warnings.add(before_training(training, choice)):
            self._recorder.write(partial(claims.store_warnings, warnings=self._warnings.to_json()))

    def _check_gradients(self, training: Training) -> None:
        """Check the gradients before the first step, and store the result. Raises WrongGradient if it did not pass."""
        self._enter(Phase.CHECKING)
        check = check_gradients(training)
        self._recorder.write(partial(claims.store_gradient_check, gradient_check=check.model_dump(mode="json")))
        if check.failure is not None:
            raise WrongGradient(f"{check.failure}; nothing was trained")

    def _run_epochs(self, training: Training) -> None:
        spec = training.spec
        progress_bar = progress.show(
            f"experiment {self._claim.experiment_id} ({spec.normalization}, {spec.dataset})",
            epochs=spec.epochs,
            steps_done=training.steps_done,
            steps_per_epoch=training.steps_per_epoch,
            batch_size=spec.batch_size,
        )
        pace = Pace(
            steps_done=training.steps_done,
            steps_total=spec.epochs * training.steps_per_epoch,
            batch_size=spec.batch_size,
        )
        stored_at = time.monotonic()

        def enter(phase: Phase) -> None:
            self._control.live = LiveProgress(phase, pace.images_per_second(), pace.seconds_left())

        def on_step(step: int, loss: Tensor) -> None:
            nonlocal stored_at
            self._control.step = step
            pace.advance(step)
            enter(Phase.TRAINING)
            progress_bar.step(step, loss)
            self._advance()
            if self._recorder.is_free() and time.monotonic() - stored_at >= spec.checkpoint_seconds:
                if (record := self.unrecorded()) is not None:
                    self._recorder.record(record)
                stored_at = time.monotonic()

        def on_test_batch() -> None:
            enter(Phase.TESTING)
            self._advance()

        enter(Phase.TRAINING)
        with progress_bar:
            while training.epochs_done < spec.epochs:
                epoch = training.epochs_done
                start = {name: tensor.clone() for name, tensor in training.state().items()}
                record = self._with_warnings(training.run_epoch(on_step, on_test_batch))
                assert record.metrics is not None
                if record.metrics.train_loss is None or record.metrics.test_loss is None:
                    self._training = None  # the search below changes its weights, so they must not be recorded
                    raise Diverged(first_nonfinite_value(training, start, epoch, self._advance), record)
                self._recorder.record(record)
                stored_at = time.monotonic()
                progress_bar.epoch(record.metrics)

    def _enter(self, phase: Phase) -> None:
        """Note what the run does now, before its first step."""
        self._control.live = LiveProgress(phase)

    def _with_warnings(self, record: Record) -> Record:
        """Return the record with all warnings, if it gives reason for a new one."""
        assert self._training is not None
        is_new = self._warnings.add(of_record(self._training, record))
        return replace(record, warnings=self._warnings.to_json()) if is_new else record

    def _advance(self) -> None:
        """Count that the run has advanced, and check for a stop. All work that takes long calls this repeatedly."""
        self._control.progress_count += 1
        self._check()

    def _check(self) -> None:
        reason = self._control.stop
        if reason == StopReason.CLAIM_LOST:
            raise ClaimLost(self._claim.experiment_id, self._claim.attempt)
        if reason is not None and not self._ending:
            raise StopRequested(reason)


def _record_and_end(session: Session, claim: Claim, *, record: Record | None, end: Verb) -> None:
    """Write the last record, if there is one, and the end, in one transaction. If both are written, change nothing."""
    if record is not None and claims.outcome(session, claim) is None:
        records.record(session, claim, record)
    end(session, claim)
