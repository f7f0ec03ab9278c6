"""One claimed experiment from its claim to its end: train, record every epoch, and say how it ended."""

import logging
import threading
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path

from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.orm import Session
from torch import Tensor

from service.experiments import queue, recording
from service.experiments.database import Database
from service.experiments.errors import ClaimLost
from service.experiments.models import Experiment
from service.experiments.queue import Claim
from service.experiments.spec import ExperimentSpec
from worker import datasets, device, progress
from worker.attending import attended
from worker.certificate import WrongGradient, certify
from worker.checkpoints import state_of, unpack
from worker.datasets import DatasetUnavailable, ImageData
from worker.device import DeviceUnavailable
from worker.divergence import Diverged, where_it_began
from worker.heartbeat import Heartbeat
from worker.provenance import provenance
from worker.settings import WorkerSettings
from worker.training import Training

log = logging.getLogger(__name__)


class _Stopped(Exception):
    """The worker was told to stop."""


class _Cancelled(Exception):
    """Someone cancelled the experiment."""


def run(database: Database, held: Claim, settings: WorkerSettings, stop: threading.Event) -> None:
    """Run a claimed experiment; whatever becomes of it is written on it."""
    end: Callable[[Session, Claim], None]
    with Heartbeat(database, held, settings.lease_seconds) as heartbeat:
        try:
            _train(database, held, settings, stop, heartbeat)
            end, said = queue.succeed, "succeeded"
        except _Stopped:
            end, said = queue.give_back, "given back to the queue"
        except _Cancelled:
            end, said = queue.stop_cancelled, "cancelled"
        except ClaimLost as lost:
            log.warning("%s; another worker may have it", lost)
            return
        except Diverged as diverged:
            end, said = partial(_record_and_fail, diverged=diverged), f"failed: {diverged}"
        except (DatasetUnavailable, DeviceUnavailable, WrongGradient, ValueError) as expected:
            end, said = partial(queue.fail, error=str(expected)), f"failed: {expected}"
        except (OperationalError, InterfaceError):
            raise  # the database is away; when it is back and the lease has run out, somebody goes on
        except Exception as unexpected:
            log.exception("experiment %d failed", held.experiment_id)
            error = f"{type(unexpected).__name__}: {unexpected}"
            end, said = partial(queue.fail, error=error), f"failed: {error}"
    try:
        with database.writing.begin() as session:
            end(session, held)
    except ClaimLost as lost:
        log.warning("%s; its end was not written", lost)
        return
    log.info("experiment %d: %s", held.experiment_id, said)


def _train(
    database: Database, held: Claim, settings: WorkerSettings, stop: threading.Event, heartbeat: Heartbeat
) -> None:
    with database.reading() as session:
        spec = ExperimentSpec.model_validate(session.get_one(Experiment, held.experiment_id).spec)
        checkpoint = recording.checkpoint(session, held.experiment_id)
        earlier = session.get_one(Experiment, held.experiment_id).provenance

    def check() -> None:
        if heartbeat.verdict == "lost":
            raise ClaimLost(f"experiment {held.experiment_id}: the lease of attempt {held.attempt} was lost")
        if heartbeat.verdict == "cancelled":
            raise _Cancelled
        if stop.is_set():
            raise _Stopped

    chosen = device.choose(spec.device)
    training = Training(spec, attended(lambda: _load(spec, settings.data_dir), check), chosen)
    if checkpoint is not None:
        training.resume(unpack(checkpoint.content, checkpoint.sha256), checkpoint.epoch + 1)
    # A resumed training keeps the engine it began with: its last bits are that engine's own.
    wanted = (earlier or {}).get("engine", spec.engine) if training.epochs_done else spec.engine
    choice = attended(lambda: training.ready(wanted), check)
    log.info("experiment %d: engine %s, %s", held.experiment_id, choice.name, choice.reason)
    heartbeat.step = steps_done = training.epochs_done * training.steps_per_epoch
    with database.writing.begin() as session:
        queue.describe(
            session,
            held,
            provenance=provenance(chosen, choice, seed=spec.seed, resumed_at_epoch=training.epochs_done or None),
            steps_total=spec.epochs * training.steps_per_epoch,
        )
    if spec.gradient_check and not training.epochs_done:
        images = training.batches(0)[0]
        checked = certify(spec, training.train.images[images], training.train.labels[images])
        with database.writing.begin() as session:
            queue.certify(session, held, checked)

    title = f"experiment {held.experiment_id} ({spec.normalization}, {spec.dataset})"
    shown = progress.show(
        title,
        epochs=spec.epochs,
        steps_done=steps_done,
        steps_per_epoch=training.steps_per_epoch,
        batch_size=spec.batch_size,
    )
    with shown:

        def after_step(step: int, loss: Tensor) -> None:
            heartbeat.step = step
            shown.step(step, loss)
            check()

        while training.epochs_done < spec.epochs:
            start = {name: tensor.clone() for name, tensor in state_of(training.network, training.optimizer).items()}
            record = training.run_epoch(after_step)
            if record.metrics.train_loss is None or record.metrics.test_loss is None:
                raise Diverged(where_it_began(training, start, record.metrics.epoch, check), record)
            with database.writing.begin() as session:
                recording.record_epoch(session, held, record)
            shown.epoch(record.metrics)


def _record_and_fail(session: Session, held: Claim, *, diverged: Diverged) -> None:
    """In one transaction, so that no checkpoint that is not finite is ever gone on from."""
    recording.record_epoch(session, held, diverged.record)
    queue.fail(session, held, error=str(diverged))


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
