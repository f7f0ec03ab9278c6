"""A claimed experiment to its end: success, failure, divergence, cancellation, a stop, a lost claim."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from PIL import Image
from sqlalchemy import update

from normcore import ReLU
from service.experiments import queue, recording
from service.experiments.errors import NotNow
from service.experiments.models import Experiment
from service.experiments.spec import ExperimentSpec
from worker.running import run
from worker.settings import WorkerSettings
from worker.training import Training

SMALL = {"dataset": "digits", "image_size": 16, "train_size": 80, "test_size": 40, "epochs": 3}


def enqueue(database, **fields):
    with database.writing.begin() as session:
        return queue.enqueue(session, ExperimentSpec(**(SMALL | fields))).id


def claimed(database):
    with database.writing.begin() as session:
        return queue.claim(session, worker="w", lease_seconds=30)


def read(database, number):
    with database.reading() as session:
        return session.get_one(Experiment, number)


def run_next(database, tmp_path, stop=None):
    held = claimed(database)
    settings = WorkerSettings(database_url=database.url, data_dir=tmp_path)
    run(database, held, settings, stop or threading.Event())
    return read(database, held.experiment_id)


def final_hash(database, number):
    with database.reading() as session:
        return recording.checkpoint(session, number).sha256


def test_an_experiment_ends_succeeded_with_every_epoch_recorded_and_what_it_ran_on(database, tmp_path):
    number = enqueue(database, normalization="batch")
    experiment = run_next(database, tmp_path)
    assert (experiment.status, experiment.error, experiment.epochs_done) == ("succeeded", None, 3)
    assert (experiment.step, experiment.steps_total) == (12, 12)
    assert experiment.provenance["engine"] == "eager"
    assert {row["layer"] for row in experiment.gradient_check} == {1, 2, 3, 4, 5, 6}
    assert all(row["error"] < 1e-10 for row in experiment.gradient_check)
    assert experiment.provenance["device"] in ("cpu", "cuda", "mps")
    assert experiment.provenance["versions"].keys() == {"python", "normlab", "torch", "numpy"}
    with database.reading() as session:
        assert [row.epoch for row in recording.metrics(session, number)] == [0, 1, 2]
        assert len(recording.captures(session, number)) == 3


def test_an_experiment_stopped_in_mid_training_is_given_back_and_ends_as_if_it_had_not_been(database, tmp_path):
    disturbed, undisturbed = enqueue(database, epochs=40), enqueue(database, epochs=40)
    stop = threading.Event()
    held = claimed(database)
    settings = WorkerSettings(database_url=database.url, data_dir=tmp_path)
    running = threading.Thread(target=run, args=[database, held, settings, stop])
    running.start()
    while read(database, disturbed).epochs_done < 2:
        time.sleep(0.01)
    stop.set()
    running.join()
    experiment = read(database, disturbed)
    assert experiment.status == "queued"
    assert 2 <= experiment.epochs_done < 40

    experiment = run_next(database, tmp_path)

    assert (experiment.id, experiment.status, experiment.attempt) == (disturbed, "succeeded", 2)
    assert experiment.provenance["resumed_at_epoch"] >= 2
    assert run_next(database, tmp_path).id == undisturbed
    assert final_hash(database, disturbed) == final_hash(database, undisturbed)


def test_a_resumed_experiment_keeps_the_engine_it_began_with(database, tmp_path, monkeypatch):
    number, asked = enqueue(database), []
    stop, ready, run_epoch = threading.Event(), Training.ready, Training.run_epoch

    def first_epoch_only(training, after_step):
        record = run_epoch(training, after_step)
        stop.set()
        return record

    monkeypatch.setattr(Training, "ready", lambda training, wanted: asked.append(wanted) or ready(training, "eager"))
    monkeypatch.setattr(Training, "run_epoch", first_epoch_only)
    run_next(database, tmp_path, stop)
    with database.writing.begin() as session:  # as if it had been compiled where it began
        experiment = session.get_one(Experiment, number)
        experiment.provenance = experiment.provenance | {"engine": "compiled"}
    monkeypatch.setattr(Training, "run_epoch", run_epoch)
    assert run_next(database, tmp_path).status == "succeeded"
    assert asked == ["auto", "compiled"]


@pytest.mark.parametrize("what", ["cancelled", "lost"])
def test_a_running_experiment_stops_when_it_is_cancelled_or_its_claim_is_lost(database, tmp_path, what):
    number = enqueue(database, epochs=100_000, engine="eager")
    held = claimed(database)
    settings = WorkerSettings(database_url=database.url, data_dir=tmp_path, lease_seconds=0.6)
    running = threading.Thread(target=run, args=[database, held, settings, threading.Event()])
    running.start()
    while read(database, number).epochs_done < 1:
        time.sleep(0.01)
    with database.writing.begin() as session:
        if what == "cancelled":
            queue.cancel(session, number)
        else:
            session.execute(update(Experiment).values(attempt=Experiment.attempt + 1))
    running.join(30)
    assert not running.is_alive()
    experiment = read(database, number)
    assert experiment.status == ("cancelled" if what == "cancelled" else "running")
    assert experiment.epochs_done >= 1
    with database.reading() as session:
        assert len(recording.metrics(session, number)) == experiment.epochs_done


def test_a_loss_that_is_not_finite_fails_the_experiment_where_that_began_and_keeps_its_records(database, tmp_path):
    number = enqueue(database, learning_rate=10.0, weight_std=10.0, box_cox_lambda=9.0, normalization="box_cox")
    experiment = run_next(database, tmp_path)
    assert experiment.status == "failed"
    assert "not finite in epoch 0, step " in experiment.error
    assert " is of layer " in experiment.error
    with database.reading() as session:
        (row,) = recording.metrics(session, number)
        (capture,) = recording.captures(session, number)
    assert row.train_loss is None
    assert sum(histogram.nonfinite for histogram in capture.histograms.values()) > 0
    with pytest.raises(NotNow, match="diverged"), database.writing.begin() as session:
        queue.retry(session, number)


def test_who_is_stopped_while_looking_for_where_a_loss_ceased_to_be_finite_records_nothing(database, tmp_path):
    number = enqueue(database, learning_rate=10.0, weight_std=10.0, box_cox_lambda=9.0, normalization="box_cox")
    held = claimed(database)
    stop = Stops(after=4)  # the steps of the epoch, so at the first one that is looked at again
    run(database, held, WorkerSettings(database_url=database.url, data_dir=tmp_path), stop)
    assert read(database, number).status == "queued"
    with database.reading() as session:
        assert recording.metrics(session, number) == []
        assert recording.checkpoint(session, number) is None
    assert run_next(database, tmp_path).status == "failed"


class Stops(threading.Event):
    """An event that is set once it has been asked so many times."""

    def __init__(self, after):
        super().__init__()
        self.left = after

    def is_set(self):
        self.left -= 1
        return self.left < 0


def test_a_wrong_gradient_fails_the_experiment_with_the_layers_name_before_it_trains(database, tmp_path, monkeypatch):
    monkeypatch.setattr(ReLU, "backward", lambda self, dout, cache: (dout, {}))
    unchecked, checked = enqueue(database, gradient_check=False), enqueue(database)
    assert run_next(database, tmp_path).id == unchecked
    experiment = run_next(database, tmp_path)
    assert (experiment.id, experiment.status, experiment.epochs_done) == (checked, "failed", 0)
    assert "the gradient of layer 6 (relu) is wrong" in experiment.error
    assert read(database, unchecked).gradient_check is None
    assert read(database, unchecked).status == "succeeded"


@pytest.mark.parametrize("what", ["cancelled", "stopped"])
def test_who_loads_a_data_set_heeds_a_cancellation_and_a_stop(database, tmp_path, monkeypatch, what):
    loading, released = threading.Event(), threading.Event()

    def slowly(*request):
        loading.set()
        released.wait(60)

    monkeypatch.setattr("worker.running._load_once", slowly)
    number, stop = enqueue(database), threading.Event()
    settings = WorkerSettings(database_url=database.url, data_dir=tmp_path, lease_seconds=0.6)
    running = threading.Thread(target=run, args=[database, claimed(database), settings, stop])
    running.start()
    loading.wait(10)
    if what == "cancelled":
        with database.writing.begin() as session:
            queue.cancel(session, number)
    else:
        stop.set()
    running.join(10)
    released.set()
    assert not running.is_alive()
    assert read(database, number).status == ("cancelled" if what == "cancelled" else "queued")


def test_a_folders_images_are_read_anew_for_every_experiment(database, tmp_path):
    def put(images_a_class):
        for split in ("train", "test"):
            for label in ("cat", "dog"):
                folder = tmp_path / "pets" / split / label
                folder.mkdir(parents=True, exist_ok=True)
                for number in range(images_a_class):
                    Image.new("RGB", (16, 16), (number, 0, 0)).save(folder / f"{number}.png")

    network = [{"kind": "convolution", "channels": 2}, {"kind": "mean_pool"}]
    fields = {"dataset": "folder", "folder": "pets", "train_size": None, "test_size": None, "batch_size": 1}
    steps = []
    for images in (2, 3):
        put(images)
        enqueue(database, network=network, epochs=1, **fields)
        steps.append(run_next(database, tmp_path).steps_total)
    assert steps == [4, 6]


FAILING = {
    "a device that is not there": ({"device": "cuda:99"}, "no device cuda:99"),
    "a folder that is not there": ({"dataset": "folder", "folder": "nowhere"}, "nowhere"),
}


@pytest.mark.parametrize(("fields", "said"), FAILING.values(), ids=FAILING)
def test_what_the_worker_finds_missing_fails_the_experiment_with_that_message(database, tmp_path, fields, said):
    fields = {"train_size": None, "test_size": None} | fields
    enqueue(database, **fields)
    experiment = run_next(database, tmp_path)
    assert experiment.status == "failed"
    assert said in experiment.error


def test_a_worker_process_logs_its_epochs_and_gives_back_at_sigterm(database, tmp_path):
    number = enqueue(database, epochs=100_000, engine="eager")
    environment = os.environ | {"NORMLAB_DATABASE_URL": database.url, "NORMLAB_DATA_DIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-m", "worker"], env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        line = next(line for line in process.stderr if "epoch 0/99999 loss" in line)
        process.send_signal(signal.SIGTERM)
        rest = process.stderr.read()
    assert process.returncode == 0, rest
    for word in ("loss 2.", "train ", "test ", "images/s", "s left"):
        assert word in line
    assert read(database, number).status == "queued"


def test_a_worker_stops_when_its_parents_pipe_closes(database, tmp_path):
    environment = os.environ | {"NORMLAB_DATABASE_URL": database.url, "NORMLAB_DATA_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "worker", "--stop-with-stdin"]
    process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE)
    process.stdin.close()
    assert process.wait(60) == 0
