"""One claimed experiment from its claim to its end: train, record every epoch, and say how it ended."""

import logging
import time
from functools import lru_cache, partial
from pathlib import Path

from sqlalchemy.orm import Session
from torch import Tensor

from service.experiments import claims, recording
from service.experiments.claims import Claim
from service.experiments.database import Database
from service.experiments.errors import ClaimLost
from service.experiments.estimating import MOST_STEPS
from service.experiments.models import CheckpointRow, Experiment
from service.experiments.records import Record
from service.experiments.spec import ExperimentSpec
from worker import datasets, device, progress
from worker.attending import attended
from worker.certificate import WrongGradient, certify
from worker.checkpoints import unpack
from worker.datasets import DatasetUnavailable, ImageData
from worker.device import DeviceUnavailable
from worker.divergence import Diverged, where_it_began
from worker.orders import Order, Orders, Told
from worker.provenance import began_with, provenance
from worker.recorder import Recorder, Verb, answered
from worker.settings import WorkerSettings
from worker.training import Training

log = logging.getLogger(__name__)

WHEN_TOLD: dict[Order, tuple[Verb, str]] = {
    "cancel": (claims.cancel, "cancelled"),
    "pause": (claims.give_back, "paused"),
    "give back": (claims.give_back, "given back to the queue"),
    "end: its time is up": (partial(claims.fail, error="it ran for longer than its max_run_seconds"), "out of time"),
}


def run(database: Database, held: Claim, settings: WorkerSettings, orders: Orders) -> bool:
    """Run a claimed experiment; whatever becomes of it is written on it. Returns whether the claim was kept."""
    end: Verb
    number, this = held.experiment_id, _Run(database, held, settings, orders)
    try:
        try:
            this.train()
            end, said = claims.succeed, "succeeded"
        except Told as told:
            end, said = WHEN_TOLD[told.order]
            if told.order != "cancel":
                end = partial(_record_first, made=this.unrecorded(), end=end)
        except Diverged as diverged:
            end = partial(_record_first, made=diverged.record, end=partial(claims.fail, error=str(diverged)))
            said = f"failed: {diverged}"
        except (DatasetUnavailable, DeviceUnavailable, WrongGradient, ValueError) as expected:
            end, said = partial(claims.fail, error=str(expected)), f"failed: {expected}"
        except ClaimLost:
            raise
        except Exception as unexpected:
            log.exception("experiment %d failed", number)
            # Of a database's error without the statement, which holds what was to be written.
            error = f"{type(unexpected).__name__}: {getattr(unexpected, 'orig', unexpected)}"
            end, said = partial(claims.fail, error=error), f"failed: {error}"
        this.end(end)
    except ClaimLost as lost:
        log.warning("%s; another worker may have it", lost)
        return False
    log.info("experiment %d: %s", number, said)
    return True


class _Run:
    """A run of one experiment: its training, once there is one, and its way into the database."""

    def __init__(self, database: Database, held: Claim, settings: WorkerSettings, orders: Orders) -> None:
        self._database, self._held, self._settings, self._orders = database, held, settings, orders
        self._recorder = Recorder(database, held, self._get_on)
        self._training: Training | None = None
        self._ending = False

    def train(self) -> None:
        """From the last checkpoint, or from the start, to the last epoch."""
        experiment, checkpoint = answered(self._read, self._get_on)
        spec = ExperimentSpec.stored(experiment.spec)
        chosen = device.choose(spec.device)
        training = Training(spec, attended(lambda: _load(spec, self._settings.data_dir), self._check), chosen)
        if checkpoint is not None:
            training.resume(unpack(checkpoint.content, checkpoint.sha256))
        # A training keeps the engine it once began with: its last bits are that engine's own.
        wanted = spec.engine if experiment.provenance is None else began_with(experiment.provenance)["engine"]
        choice = attended(lambda: training.ready(wanted), self._check)
        log.info("experiment %d: engine %s, %s", self._held.experiment_id, choice.name, choice.reason)
        resumed = training.steps_done or None
        ran_on = provenance(chosen, choice, seed=spec.seed, resumed_at_step=resumed, before=experiment.provenance)
        for difference in ran_on["differs"]:
            log.warning("experiment %d goes on with other last bits: %s", self._held.experiment_id, difference)
        steps_total = spec.epochs * training.steps_per_epoch
        if steps_total > MOST_STEPS:
            raise ValueError(f"{steps_total:,} training steps are more than the {MOST_STEPS:,} that can be counted")
        self._recorder.note(
            partial(claims.describe, provenance=ran_on, steps_total=steps_total, resumed_at_step=resumed)
        )
        if spec.gradient_check and not resumed:
            images = training.batches(0)[0]
            checked = certify(spec, training.train.images[images], training.train.labels[images])
            self._recorder.note(partial(claims.certify, gradient_check=checked))
        self._training = training
        self._run_epochs(training)
        self._recorder.settle()

    def unrecorded(self) -> Record | None:
        """What came of the epoch at hand, to go on from."""
        return None if self._training is None else self._training.unrecorded()

    def end(self, verb: Verb) -> None:
        """Write how it ended, after what still waits. Raises ClaimLost."""
        self._ending = True
        self._recorder.settle()
        self._recorder.note(verb)

    def _read(self) -> tuple[Experiment, CheckpointRow | None]:
        with self._database.reading() as session:
            experiment = session.get(Experiment, self._held.experiment_id)
            if experiment is None:
                raise claims.lost(self._held)
            return experiment, recording.checkpoint(session, self._held.experiment_id)

    def _run_epochs(self, training: Training) -> None:
        spec = training.spec
        shown = progress.show(
            f"experiment {self._held.experiment_id} ({spec.normalization}, {spec.dataset})",
            epochs=spec.epochs,
            steps_done=training.steps_done,
            steps_per_epoch=training.steps_per_epoch,
            batch_size=spec.batch_size,
        )
        stored = time.monotonic()

        def after_step(step: int, loss: Tensor) -> None:
            nonlocal stored
            self._orders.step = step
            shown.step(step, loss)
            self._get_on()
            if self._recorder.is_free() and time.monotonic() - stored >= spec.checkpoint_seconds:
                if (made := training.unrecorded()) is not None:
                    self._recorder.record(made)
                stored = time.monotonic()

        with shown:
            while training.epochs_done < spec.epochs:
                epoch = training.epochs_done
                start = {name: tensor.clone() for name, tensor in training.state().items()}
                record = training.run_epoch(after_step, self._get_on)
                assert record.metrics is not None
                if record.metrics.train_loss is None or record.metrics.test_loss is None:
                    self._training = None  # the search spoils it: nothing of it is to be gone on from
                    raise Diverged(where_it_began(training, start, epoch, self._get_on), record)
                self._recorder.record(record)
                stored = time.monotonic()
                shown.epoch(record.metrics)

    def _get_on(self) -> None:
        """Called wherever something takes long and gets on."""
        self._orders.signs += 1
        self._check()

    def _check(self) -> None:
        order = self._orders.order
        if order == "lost":
            raise claims.lost(self._held)
        if order is not None and not self._ending:
            raise Told(order)


def _record_first(session: Session, held: Claim, *, made: Record | None, end: Verb) -> None:
    """In one transaction: what was trained is there to go on from; what is not finite never is."""
    if made is not None:
        recording.record(session, held, made)
    end(session, held)


def _load(spec: ExperimentSpec, data_dir: Path) -> ImageData:
    load = _load_anew if spec.dataset == "folder" else _load_once  # a folder's images may have changed since
    return load(spec.dataset, data_dir, spec.image_size, spec.train_size, spec.test_size, spec.folder)


def _load_anew(
    name: str, data_dir: Path, image_size: int, train_size: int | None, test_size: int | None, folder: str | None
) -> ImageData:
    return datasets.load(
        name, data_dir=data_dir, image_size=image_size, train_size=train_size, test_size=test_size, folder=folder
    )


_load_once = lru_cache(maxsize=1)(_load_anew)  # a study's experiments come one after another and share their images
