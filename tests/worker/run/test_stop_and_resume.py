"""An experiment that is stopped: what is stored, how soon it stops, and that it resumes to the same bits."""

import threading

import pytest
from sqlalchemy import update

from normlab.spec.lifecycle import Status, StopReason
from normlab.store import lost_attempts, queue, records
from normlab.store.models import Experiment
from tests.experiments import claimed, do, read, until
from tests.worker.run.runs import StopsAtStep, enqueue, final_hash, run_claim, run_next, running_next
from worker.run_control import RunControl
from worker.training.training import Training


def stop(database, number, control, reason):
    """Stop a training as its supervisor does. A pause has been requested before."""
    if reason == StopReason.PAUSE:
        do(database, queue.pause, number)
    control.stop = reason


def expire_lease(database):
    """Requeue the running experiment, as if its worker had been killed."""
    with database.writing.begin() as session:
        session.execute(update(Experiment).where(Experiment.status == Status.RUNNING).values(lease_expires_at=0))
        lost_attempts.requeue_stalled(session)


@pytest.fixture
def requested_engines(monkeypatch):
    """Train with the eager engine, and collect which one was requested by each attempt."""
    engines, ready = [], Training.ready
    monkeypatch.setattr(Training, "ready", lambda training, name: engines.append(name) or ready(training, "eager"))
    return engines


class StopsWhileTesting(RunControl):
    """A control that stops in the test pass of the first epoch: after its four steps and one test batch."""

    def __init__(self, reason):
        super().__init__()
        self.reason = reason

    def __setattr__(self, name, value):
        super().__setattr__(name, value)
        if name == "progress_count" and self.step == 4 and self.progress_count == 5:
            self.stop = self.reason


@pytest.mark.slow
class TestStop:
    @pytest.mark.parametrize("reason", [StopReason.CANCEL, StopReason.CLAIM_LOST, StopReason.TIME_LIMIT])
    def test_keeps_the_records(self, database, tmp_path, reason):
        """A stopped experiment keeps its epochs. After a lost claim nothing is written."""
        number = enqueue(database, epochs=100_000, engine="eager")
        with running_next(database, tmp_path) as control:
            until(lambda: read(database, number).epochs_done >= 1)
            control.stop = reason
        experiment = read(database, number)
        statuses = {StopReason.CANCEL: "cancelled", StopReason.CLAIM_LOST: "running", StopReason.TIME_LIMIT: "failed"}
        assert experiment.status == statuses[reason]
        assert (reason == StopReason.TIME_LIMIT) == ("max_run_seconds" in (experiment.error or ""))
        assert experiment.epochs_done >= 1
        with database.reading() as session:
            assert len(records.metrics(session, number)) == experiment.epochs_done

    @pytest.mark.parametrize("reason", [StopReason.CANCEL, StopReason.RELEASE, StopReason.PAUSE])
    def test_takes_effect_while_a_data_set_is_loaded(self, database, tmp_path, monkeypatch, reason):
        """A stop does not wait for a download."""
        is_loading, may_end = threading.Event(), threading.Event()

        def load_slowly(*request, **options):
            is_loading.set()
            may_end.wait(60)

        monkeypatch.setattr("worker.run.load_data._load_cached", load_slowly)
        number = enqueue(database)
        try:
            with running_next(database, tmp_path) as control:
                is_loading.wait(10)
                stop(database, number, control, reason)
                until(lambda: read(database, number).status != "running", seconds=10)
        finally:
            may_end.set()
        assert read(database, number).status == {"cancel": "cancelled", "release": "queued", "pause": "paused"}[reason]

    @pytest.mark.parametrize("reason", [StopReason.CANCEL, StopReason.PAUSE])
    def test_takes_effect_within_a_test_pass(self, database, tmp_path, reason):
        """A stop in a test pass takes effect at the next batch, and a pause loses no step before it."""
        number, undisturbed = enqueue(database), enqueue(database)
        claim = claimed(database)
        do(database, getattr(queue, reason.value), number)
        experiment = run_claim(database, claim, tmp_path, StopsWhileTesting(reason))
        assert (experiment.status, experiment.epochs_done) == ({"cancel": "cancelled", "pause": "paused"}[reason], 0)
        if reason == StopReason.PAUSE:
            with database.writing.begin() as session:
                assert records.checkpoint(session, number).step == 4
                queue.resume(session, number)
            assert run_next(database, tmp_path).provenance["resumed_at_step"] == 4
            assert run_next(database, tmp_path).id == undisturbed
            assert final_hash(database, number) == final_hash(database, undisturbed)


@pytest.mark.slow
class TestResume:
    @pytest.mark.parametrize("reason", [StopReason.RELEASE, StopReason.PAUSE])
    def test_after_a_stop_ends_with_the_same_bits(self, database, tmp_path, reason):
        """An experiment that was stopped in mid-training ends with the hash of one that was not."""
        disturbed, undisturbed = enqueue(database, epochs=40), enqueue(database, epochs=40)
        with running_next(database, tmp_path) as control:
            until(lambda: read(database, disturbed).epochs_done >= 2)
            stop(database, disturbed, control, reason)
        experiment = read(database, disturbed)
        assert experiment.status == ("queued" if reason == StopReason.RELEASE else "paused")
        assert 2 <= experiment.epochs_done < 40
        with database.writing.begin() as session:
            stored = records.checkpoint(session, disturbed).step
            queue.resume(session, disturbed)

        experiment = run_next(database, tmp_path)

        assert (experiment.id, experiment.status, experiment.attempt) == (disturbed, "succeeded", 2)
        assert experiment.provenance["resumed_at_step"] == stored
        assert run_next(database, tmp_path).id == undisturbed
        assert final_hash(database, disturbed) == final_hash(database, undisturbed)

    def test_within_an_epoch_keeps_its_captures(self, database, tmp_path):
        """Checkpoints within a long epoch hold what was captured so far, and the end is the same to the bit."""
        fields = {"epochs": 2, "batch_size": 8, "capture_unit": "step", "capture_every": 3, "checkpoint_seconds": 0}
        disturbed, undisturbed = enqueue(database, **fields), enqueue(database, **fields)
        run_next(database, tmp_path, StopsAtStep(17, StopReason.CLAIM_LOST))
        with database.reading() as session:
            assert records.checkpoint(session, disturbed).step == 16
            assert len(records.metrics(session, disturbed)) == 1
            assert [capture.step for capture in records.captures(session, disturbed)] == [3, 6, 9, 12, 15]
        expire_lease(database)
        assert run_next(database, tmp_path).status == "succeeded"
        assert run_next(database, tmp_path).id == undisturbed
        assert final_hash(database, disturbed) == final_hash(database, undisturbed)
        with database.reading() as session:
            ours, theirs = (records.metrics(session, number) for number in (disturbed, undisturbed))
            assert [(row.train_loss, row.test_loss) for row in ours] == [
                (row.train_loss, row.test_loss) for row in theirs
            ]
            counts = [len(list(records.captures(session, number))) for number in (disturbed, undisturbed)]
            assert counts == [6, 6]


@pytest.mark.slow
class TestEngine:
    def test_is_kept_before_the_first_checkpoint(self, database, tmp_path, requested_engines):
        """A training that was lost before its first checkpoint starts again with the engine it began with."""
        number = enqueue(database)
        run_next(database, tmp_path, StopsAtStep(1, StopReason.CLAIM_LOST))
        with database.writing.begin() as session:  # as if it had been compiled
            experiment = session.get_one(Experiment, number)
            assert records.checkpoint(session, number) is None
            began = experiment.provenance["began_with"] | {"engine": "compiled"}
            experiment.provenance = experiment.provenance | {"engine": "compiled", "began_with": began}
        expire_lease(database)
        experiment = run_next(database, tmp_path)
        assert (experiment.status, experiment.provenance["differs"]) == ("succeeded", [])  # no step was resumed
        assert requested_engines == ["auto", "compiled"]

    def test_that_differs_is_reported_and_requested_again(self, database, tmp_path, requested_engines):
        """If a worker cannot provide the first engine, the attempt says so, and the next attempt requests it again."""
        number = enqueue(database, epochs=200)

        def release_when(condition):
            with running_next(database, tmp_path) as control:
                until(lambda: condition(read(database, number)))
                control.stop = StopReason.RELEASE
            return read(database, number)

        release_when(lambda experiment: experiment.epochs_done >= 1)
        with database.writing.begin() as session:  # as if an older release had compiled it
            experiment = session.get_one(Experiment, number)
            own = {name: it for name, it in experiment.provenance.items() if name not in ("began_with", "differs")}
            experiment.provenance = own | {"engine": "compiled"}
        for attempt in (2, 3):  # what the second attempt ran on does not matter to the third

            def advances(experiment, attempt=attempt):
                resumed = experiment.provenance["resumed_at_step"] or 1e9
                is_prepared = len(requested_engines) == attempt  # until then the provenance is of the attempt before
                return is_prepared and experiment.attempt == attempt and experiment.step > resumed

            assert release_when(advances).provenance["differs"] == ["engine: compiled at first, eager now"]
        assert requested_engines == ["auto", "compiled", "compiled"]
