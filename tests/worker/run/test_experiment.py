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
from normlab.spec.lifecycle import StopReason
from normlab.store import lost_attempts, queue, records
from normlab.store.errors import InvalidState
from normlab.store.models import Experiment
from tests import experiments
from tests.experiments import claimed, read
from worker.commands import RunControl
from worker.run.experiment import run
from worker.settings import WorkerSettings
from worker.training.divergence import where_it_began
from worker.training.training import Training

SMALL = {"dataset": "digits", "image_size": 16, "train_size": 80, "test_size": 40, "epochs": 3}


def enqueue(database, **fields):
    return experiments.enqueue(database, **(SMALL | fields))


def run_next(database, tmp_path, control=None):
    held = claimed(database)
    settings = WorkerSettings(database_url=database.url, data_dir=tmp_path)
    run(database, held, settings, control or RunControl())
    return read(database, held.experiment_id)


def final_hash(database, number):
    with database.reading() as session:
        return records.checkpoint(session, number).sha256


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
        assert [row.epoch for row in records.metrics(session, number)] == [0, 1, 2]
        assert len(list(records.captures(session, number))) == 3


def test_a_spec_accepted_by_an_older_release_runs_though_this_one_would_refuse_it(database, tmp_path):
    number = enqueue(database, epochs=1)
    with database.writing.begin() as session:
        experiment = session.get_one(Experiment, number)
        experiment.spec = experiment.spec | {"name": "\uffff", "forgotten": 1}
    experiment = run_next(database, tmp_path)
    assert (experiment.status, experiment.error) == ("succeeded", None)


def started(database, held, tmp_path, control):
    settings = WorkerSettings(database_url=database.url, data_dir=tmp_path)
    running = threading.Thread(target=run, args=[database, held, settings, control])
    running.start()
    return running


def tell(database, number, control, order):
    """As its supervisor would, who has seen the requested_action."""
    if order == "pause":
        with database.writing.begin() as session:
            queue.pause(session, number)
    control.stop = order


@pytest.mark.parametrize("order", [StopReason.RELEASE, StopReason.PAUSE])
def test_an_experiment_stopped_in_mid_training_goes_on_and_ends_as_if_it_had_not_been(database, tmp_path, order):
    disturbed, undisturbed = enqueue(database, epochs=40), enqueue(database, epochs=40)
    control = RunControl()
    running = started(database, claimed(database), tmp_path, control)
    while read(database, disturbed).epochs_done < 2:
        time.sleep(0.01)
    tell(database, disturbed, control, order)
    running.join()
    experiment = read(database, disturbed)
    assert experiment.status == ("queued" if order == "release" else "paused")
    assert 2 <= experiment.epochs_done < 40
    with database.writing.begin() as session:
        stored = records.checkpoint(session, disturbed).step
        queue.resume(session, disturbed)

    experiment = run_next(database, tmp_path)

    assert (experiment.id, experiment.status, experiment.attempt) == (disturbed, "succeeded", 2)
    assert experiment.provenance["resumed_at_step"] == stored
    assert run_next(database, tmp_path).id == undisturbed
    assert final_hash(database, disturbed) == final_hash(database, undisturbed)


def test_inside_a_long_epoch_checkpoints_are_stored_with_what_was_captured_so_far(database, tmp_path):
    fields = {"epochs": 2, "batch_size": 8, "capture_unit": "step", "capture_every": 3, "checkpoint_seconds": 0}
    disturbed, undisturbed = enqueue(database, **fields), enqueue(database, **fields)

    class StopsAt(RunControl):
        """Ordered to lose its claim at once: nothing is stored then that was not before."""

        def __setattr__(self, name, value):
            super().__setattr__(name, value)
            if name == "step" and value == 17:
                self.stop = StopReason.CLAIM_LOST

    run_next(database, tmp_path, StopsAt())
    with database.writing.begin() as session:
        assert records.checkpoint(session, disturbed).step == 16
        assert len(records.metrics(session, disturbed)) == 1
        assert [capture.step for capture in records.captures(session, disturbed)] == [3, 6, 9, 12, 15]
        session.execute(update(Experiment).where(Experiment.id == disturbed).values(lease_expires_at=0))
        lost_attempts.requeue_stalled(session)
    assert run_next(database, tmp_path).status == "succeeded"
    assert run_next(database, tmp_path).id == undisturbed
    assert final_hash(database, disturbed) == final_hash(database, undisturbed)
    with database.reading() as session:
        one, other = (records.metrics(session, number) for number in (disturbed, undisturbed))
        assert [(row.train_loss, row.test_loss) for row in one] == [(row.train_loss, row.test_loss) for row in other]
        assert len(list(records.captures(session, disturbed))) == len(list(records.captures(session, undisturbed))) == 6


def test_an_experiment_keeps_the_engine_it_began_with_even_before_its_first_checkpoint(database, tmp_path, monkeypatch):
    number, asked, ready = enqueue(database), [], Training.ready
    monkeypatch.setattr(Training, "ready", lambda training, wanted: asked.append(wanted) or ready(training, "eager"))

    class StopsAtOnce(RunControl):
        def __setattr__(self, name, value):
            super().__setattr__(name, value)
            if name == "step" and value is not None:
                self.stop = StopReason.CLAIM_LOST

    run_next(database, tmp_path, StopsAtOnce())
    with database.writing.begin() as session:  # as if it had been compiled where it began
        experiment = session.get_one(Experiment, number)
        assert records.checkpoint(session, number) is None
        began = experiment.provenance["began_with"] | {"engine": "compiled"}
        experiment.provenance = experiment.provenance | {"engine": "compiled", "began_with": began}
        session.execute(update(Experiment).values(lease_expires_at=0))
        lost_attempts.requeue_stalled(session)
    experiment = run_next(database, tmp_path)
    assert (experiment.status, experiment.provenance["differs"]) == ("succeeded", [])  # it began anew
    assert asked == ["auto", "compiled"]


def test_an_experiment_that_goes_on_with_another_engine_says_so_and_wants_its_own_again(
    database, tmp_path, monkeypatch
):
    number, asked, ready = enqueue(database, epochs=200), [], Training.ready
    monkeypatch.setattr(Training, "ready", lambda training, wanted: asked.append(wanted) or ready(training, "eager"))

    def run_until(true, *, then):
        running = started(database, claimed(database), tmp_path, control := RunControl())
        while not true(read(database, number)):
            time.sleep(0.01)
        control.stop = then
        running.join()
        return read(database, number)

    run_until(lambda experiment: experiment.epochs_done >= 1, then=StopReason.RELEASE)
    with database.writing.begin() as session:  # as if an older release had compiled it, where there was a compiler
        experiment = session.get_one(Experiment, number)
        own = {name: it for name, it in experiment.provenance.items() if name not in ("began_with", "differs")}
        experiment.provenance = own | {"engine": "compiled"}
    for attempt in (2, 3):  # what the second ran on is nothing to the third

        def goes_on(experiment, attempt=attempt):
            return experiment.attempt == attempt and experiment.step > (experiment.provenance["resumed_at_step"] or 1e9)

        experiment = run_until(goes_on, then=StopReason.RELEASE)
        assert experiment.provenance["differs"] == ["engine: compiled at first, eager now"]
    assert asked == ["auto", "compiled", "compiled"]


@pytest.mark.parametrize("order", [StopReason.CANCEL, StopReason.CLAIM_LOST, StopReason.TIME_LIMIT])
def test_a_running_experiment_stops_when_it_is_told_to_and_keeps_its_records(database, tmp_path, order):
    number, control = enqueue(database, epochs=100_000, engine="eager"), RunControl()
    running = started(database, claimed(database), tmp_path, control)
    while read(database, number).epochs_done < 1:
        time.sleep(0.01)
    control.stop = order
    running.join(30)
    assert not running.is_alive()
    experiment = read(database, number)
    assert experiment.status == {"cancel": "cancelled", StopReason.CLAIM_LOST: "running"}.get(order, "failed")
    assert (order == StopReason.TIME_LIMIT) == ("max_run_seconds" in (experiment.error or ""))
    assert experiment.epochs_done >= 1
    with database.reading() as session:
        assert len(records.metrics(session, number)) == experiment.epochs_done


def test_a_loss_that_is_not_finite_fails_the_experiment_where_that_began_and_keeps_its_records(database, tmp_path):
    number = enqueue(database, learning_rate=10.0, init_std=10.0, box_cox_lambda=9.0, normalization="box_cox")
    experiment = run_next(database, tmp_path)
    assert experiment.status == "failed"
    assert "not finite in epoch 0, step " in experiment.error
    assert " is of layer " in experiment.error
    with database.reading() as session:
        (row,) = records.metrics(session, number)
        (capture,) = records.captures(session, number)
    assert row.train_loss is None
    assert sum(histogram.nonfinite for histogram in capture.histograms.values()) > 0
    with pytest.raises(InvalidState, match="diverged"), database.writing.begin() as session:
        queue.retry(session, number)


def test_who_is_stopped_while_looking_for_where_a_loss_ceased_to_be_finite_records_nothing(
    database, tmp_path, monkeypatch
):
    number, control = (
        enqueue(database, learning_rate=10.0, init_std=10.0, box_cox_lambda=9.0, normalization="box_cox"),
        RunControl(),
    )

    def stopped(training, start, epoch, check):
        control.stop = StopReason.RELEASE
        return where_it_began(training, start, epoch, check)

    monkeypatch.setattr("worker.run.experiment.where_it_began", stopped)
    assert run_next(database, tmp_path, control).status == "queued"
    with database.reading() as session:
        assert records.metrics(session, number) == []
        assert records.checkpoint(session, number) is None
    monkeypatch.undo()
    assert run_next(database, tmp_path).status == "failed"


def test_whatever_takes_long_and_gets_on_gives_signs_of_life(database, tmp_path, monkeypatch):
    enqueue(database, learning_rate=10.0, init_std=10.0, box_cox_lambda=9.0, normalization="box_cox")
    control, searched = RunControl(), []

    def counted(training, start, epoch, check):
        before = control.progress_count
        try:
            return where_it_began(training, start, epoch, check)
        finally:
            searched.append(control.progress_count - before)

    monkeypatch.setattr("worker.run.experiment.where_it_began", counted)
    run_next(database, tmp_path, control)
    assert searched[0] >= 1
    assert control.progress_count - searched[0] > control.step  # its steps, and the batches of a test pass


class ToldWhileTesting(RunControl):
    """A supervisor's word that comes in the first epoch's test pass: after its four steps and a test batch."""

    def __init__(self, coming):
        super().__init__()
        self.coming = coming

    def __setattr__(self, name, value):
        super().__setattr__(name, value)
        if name == "progress_count" and self.step == 4 and self.progress_count == 5:
            self.stop = self.coming


@pytest.mark.parametrize("order", [StopReason.CANCEL, StopReason.PAUSE])
def test_within_a_test_pass_an_order_is_heeded_and_no_step_before_it_is_lost(database, tmp_path, order):
    number, undisturbed = enqueue(database), enqueue(database)
    held, settings = claimed(database), WorkerSettings(database_url=database.url, data_dir=tmp_path)
    with database.writing.begin() as session:
        {"cancel": queue.cancel, "pause": queue.pause}[order](session, number)
    run(database, held, settings, ToldWhileTesting(order))
    experiment = read(database, number)
    assert (experiment.status, experiment.epochs_done) == ({"cancel": "cancelled", "pause": "paused"}[order], 0)
    if order == "pause":
        with database.writing.begin() as session:
            assert records.checkpoint(session, number).step == 4
            queue.resume(session, number)
        assert run_next(database, tmp_path).provenance["resumed_at_step"] == 4
        assert run_next(database, tmp_path).id == undisturbed
        assert final_hash(database, number) == final_hash(database, undisturbed)


def test_a_wrong_gradient_fails_the_experiment_with_the_layers_name_before_it_trains(database, tmp_path, monkeypatch):
    monkeypatch.setattr(ReLU, "backward", lambda self, dout, cache: (dout, {}))
    unchecked, checked = enqueue(database, gradient_check=False), enqueue(database)
    assert run_next(database, tmp_path).id == unchecked
    experiment = run_next(database, tmp_path)
    assert (experiment.id, experiment.status, experiment.epochs_done) == (checked, "failed", 0)
    assert "the gradient of layer 6 (relu) is wrong" in experiment.error
    assert read(database, unchecked).gradient_check is None
    assert read(database, unchecked).status == "succeeded"


@pytest.mark.parametrize("order", [StopReason.CANCEL, StopReason.RELEASE, StopReason.PAUSE])
def test_who_loads_a_data_set_heeds_what_it_is_told(database, tmp_path, monkeypatch, order):
    loading, released = threading.Event(), threading.Event()

    def slowly(*request):
        loading.set()
        released.wait(60)

    monkeypatch.setattr("worker.run.experiment._load_cached", slowly)
    number, control = enqueue(database), RunControl()
    running = started(database, claimed(database), tmp_path, control)
    loading.wait(10)
    tell(database, number, control, order)
    running.join(10)
    released.set()
    assert not running.is_alive()
    assert read(database, number).status == {"cancel": "cancelled", "release": "queued", "pause": "paused"}[order]


def test_a_folders_images_are_read_anew_for_every_experiment(database, tmp_path):
    def put(images_a_class):
        for split in ("train", "test"):
            for label in ("cat", "dog"):
                folder = tmp_path / "pets" / split / label
                folder.mkdir(parents=True, exist_ok=True)
                for number in range(images_a_class):
                    Image.new("RGB", (16, 16), (number, 0, 0)).save(folder / f"{number}.png")

    network = [{"kind": "convolution", "channels": 2}, {"kind": "global_average_pool"}]
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
