"""A claimed experiment to its end: success, failure and divergence."""

import logging
from contextlib import contextmanager
from itertools import groupby

import pytest
from PIL import Image
from sqlalchemy.exc import OperationalError

from normcore import ReLU
from normlab.spec.gradient_check import GradientCheck
from normlab.spec.lifecycle import StopReason
from normlab.store import queue, records
from normlab.store.errors import InvalidState
from normlab.store.models import Experiment
from tests.experiments import attempts, claimed, do, read
from tests.worker.run.runs import DIVERGING, StopsAtStep, enqueue, final_hash, run_next
from worker.run.experiment import run
from worker.run_control import RunControl
from worker.settings import WorkerSettings
from worker.training.divergence import first_nonfinite_value
from worker.training.training import Training


class ReplyLosingDatabase:
    """A database whose reply to the commit that ends the attempt of an experiment is lost, once."""

    def __init__(self, database, number):
        self._database, self._number, self.lost_replies = database, number, 0
        self.reading = database.reading

    @property
    def writing(self):
        return self

    @contextmanager
    def begin(self):
        with self._database.writing.begin() as session:
            yield session
        if self.lost_replies == 0 and attempts(self._database, self._number)[0][0] is not None:
            self.lost_replies += 1
            raise OperationalError("COMMIT", {}, Exception("the connection was lost"))


class TestSuccess:
    def test_records_every_epoch_and_the_provenance(self, database, tmp_path):
        """An experiment that succeeds has all its epochs, captures and gradient checks, and what it ran on."""
        number = enqueue(database, normalization="batch")
        experiment = run_next(database, tmp_path)
        assert (experiment.status, experiment.error, experiment.epochs_done) == ("succeeded", None, 3)
        assert (experiment.step, experiment.steps_total) == (12, 12)
        assert experiment.provenance["engine"] == "eager"
        check = GradientCheck.model_validate(experiment.gradient_check)
        assert (check.passed, check.step, check.engine, check.memory) == (True, 0, "eager", "standard")
        assert {row.layer for row in check.layers} == {1, 2, 3, 4, 5, 6}
        assert all(row.gradients.float64 < 1e-10 for row in check.layers)
        assert experiment.provenance["device"] in ("cpu", "cuda", "mps")
        assert experiment.provenance["versions"].keys() == {"python", "normlab", "torch", "numpy"}
        with database.reading() as session:
            assert [row.epoch for row in records.metrics(session, number)] == [0, 1, 2]
            assert len(list(records.captures(session, number))) == 3

    def test_of_one_spec_ends_with_one_hash(self, database, tmp_path):
        """Two experiments of one spec on one machine end with the same state, with engine auto."""
        numbers = [enqueue(database, normalization="batch", gradient_check=False) for _ in range(2)]
        hashes = []
        for number in numbers:
            run_next(database, tmp_path)
            hashes.append(final_hash(database, number))
        assert hashes[0] == hashes[1]

    def test_reports_each_phase_and_the_pace(self, database, tmp_path):
        """A run loads, compiles, checks, trains and tests in this order, and knows its pace from the first step on."""

        reported = []

        class Reporting(RunControl):
            def __setattr__(self, name, value):
                super().__setattr__(name, value)
                if name == "live" and value.phase is not None:
                    reported.append(value)

        enqueue(database, epochs=2)
        run_next(database, tmp_path, Reporting())
        assert [phase for phase, _ in groupby(live.phase for live in reported)] == [
            "loading", "compiling", "checking", *2 * ["training", "testing"],
        ]  # fmt: skip
        paced = [live for live in reported if live.seconds_left is not None]
        assert all(live.images_per_second > 0 for live in paced)
        assert paced[0].seconds_left > paced[-1].seconds_left == 0

    def test_of_a_spec_that_an_older_release_accepted(self, database, tmp_path):
        """A stored spec runs even if this release would refuse it."""
        number = enqueue(database, epochs=1)
        with database.writing.begin() as session:
            experiment = session.get_one(Experiment, number)
            experiment.spec = experiment.spec | {"name": "\uffff", "forgotten": 1}
        experiment = run_next(database, tmp_path)
        assert (experiment.status, experiment.error) == ("succeeded", None)

    def test_reads_the_images_of_a_folder_every_time(self, database, tmp_path):
        """The images of a folder may change between two experiments, so they are not cached."""

        def write_images(images_per_class):
            for split in ("train", "test"):
                for label in ("cat", "dog"):
                    folder = tmp_path / "pets" / split / label
                    folder.mkdir(parents=True, exist_ok=True)
                    for number in range(images_per_class):
                        Image.new("RGB", (16, 16), (number, 0, 0)).save(folder / f"{number}.png")

        network = [{"kind": "convolution", "channels": 2}, {"kind": "global_average_pool"}]
        fields = {"dataset": "folder", "folder": "pets", "train_size": None, "test_size": None, "batch_size": 1}
        steps = []
        for images_per_class in (2, 3):
            write_images(images_per_class)
            enqueue(database, network=network, epochs=1, **fields)
            steps.append(run_next(database, tmp_path).steps_total)
        assert steps == [4, 6]


class TestLog:
    @pytest.mark.parametrize(
        ("reason", "line"),
        [
            (None, "experiment 1 succeeded"),
            ("pause", "experiment 1 stopped before its last epoch. A user requested to pause the experiment."),
            (
                "claim lost",
                "attempt 1 of experiment 1 is no longer the current one; "
                "the experiment was deleted, or another worker has it",
            ),
        ],
    )
    def test_says_how_the_experiment_ended(self, database, tmp_path, caplog, reason, line):
        """The last line of an experiment says in words how it ended."""
        caplog.set_level(logging.INFO)
        enqueue(database, gradient_check=False, engine="eager")
        run_next(database, tmp_path, None if reason is None else StopsAtStep(2, StopReason(reason)))
        assert caplog.messages[-1] == line


class TestFailure:
    def test_of_a_wrong_gradient_names_the_layer(self, database, tmp_path, monkeypatch):
        """A wrong gradient fails the experiment before it trains. Without the check it is not noticed."""
        monkeypatch.setattr(ReLU, "backward", lambda self, dout, cache: (dout, {}))
        unchecked, checked = enqueue(database, gradient_check=False), enqueue(database)
        assert run_next(database, tmp_path).id == unchecked
        experiment = run_next(database, tmp_path)
        assert (experiment.id, experiment.status, experiment.epochs_done) == (checked, "failed", 0)
        assert "the gradient of layer 6 (relu) is wrong" in experiment.error
        assert experiment.error.endswith("; nothing was trained")
        assert experiment.gradient_check["failure"] in experiment.error
        assert read(database, unchecked).gradient_check is None
        assert read(database, unchecked).status == "succeeded"

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"device": "cuda:99"}, "no device cuda:99"),
            ({"dataset": "folder", "folder": "nowhere"}, "nowhere"),
        ],
        ids=["device", "folder"],
    )
    def test_of_a_missing_device_or_folder_says_so(self, database, tmp_path, fields, message):
        """An experiment that needs what the worker does not have fails with a message that names it."""
        enqueue(database, **({"train_size": None, "test_size": None} | fields))
        experiment = run_next(database, tmp_path)
        assert experiment.status == "failed"
        assert message in experiment.error

    def test_with_too_many_steps_prepares_no_engine(self, database, tmp_path, monkeypatch):
        """The number of steps is checked before an engine is prepared, which may take minutes."""
        monkeypatch.setattr("worker.run.experiment.MAX_STEPS", 11)
        monkeypatch.setattr(Training, "ready", None)
        enqueue(database)
        assert run_next(database, tmp_path).error.startswith("expected at most 11 training steps, got 12: reduce")

    def test_of_a_bug_names_its_type_and_logs_its_traceback(self, database, tmp_path, monkeypatch, caplog):
        """A ValueError whose message is not written for the user is logged with its traceback."""

        def fail(*arguments):
            raise ValueError("too many values to unpack")

        monkeypatch.setattr(ReLU, "backward", fail)
        enqueue(database, gradient_check=False)
        assert run_next(database, tmp_path).error == "ValueError: too many values to unpack"
        assert "Traceback" in caplog.text


class TestLostReply:
    @pytest.mark.parametrize("outcome", ["succeeded", "released", "failed"])
    def test_to_the_end_of_an_attempt_is_no_lost_claim(self, database, tmp_path, caplog, outcome):
        """If the end is committed and the reply is lost, the end is repeated and no write counts as refused."""
        fields = DIVERGING if outcome == "failed" else {"gradient_check": False, "engine": "eager"}
        number, claim = enqueue(database, **fields), claimed(database)
        losing = ReplyLosingDatabase(database, number)
        settings = WorkerSettings(database_url=database.url, data_dir=tmp_path)
        control = StopsAtStep(2, StopReason.RELEASE) if outcome == "released" else RunControl()
        assert run(losing, claim, settings, control)
        assert losing.lost_replies == 1
        assert attempts(database, number)[0][0] == outcome
        assert "no longer the current one" not in caplog.text


class TestDivergence:
    def test_fails_with_where_it_began_and_keeps_the_records(self, database, tmp_path):
        """A loss that is not finite fails the experiment, names step and layer, and keeps the epoch's records."""
        number = enqueue(database, **DIVERGING)
        experiment = run_next(database, tmp_path)
        assert experiment.status == "failed"
        assert "not finite in epoch 0, step " in experiment.error
        assert " is of layer " in experiment.error
        with database.reading() as session:
            (row,) = records.metrics(session, number)
            (capture,) = records.captures(session, number)
        assert row.train_loss is None
        assert sum(histogram.nonfinite for histogram in capture.histograms.values()) > 0
        with pytest.raises(InvalidState, match="diverged"):
            do(database, queue.retry, number)

    def test_stopped_while_it_is_searched_for_records_nothing(self, database, tmp_path, monkeypatch):
        """The search for the step changes the weights, so a stop within it stores none of them."""
        number, control = enqueue(database, **DIVERGING), RunControl()

        def stopped(training, start, epoch, check):
            control.stop = StopReason.RELEASE
            return first_nonfinite_value(training, start, epoch, check)

        monkeypatch.setattr("worker.run.experiment.first_nonfinite_value", stopped)
        assert run_next(database, tmp_path, control).status == "queued"
        with database.reading() as session:
            assert records.metrics(session, number) == []
            assert records.checkpoint(session, number) is None
        monkeypatch.undo()
        assert run_next(database, tmp_path).status == "failed"

    def test_search_and_test_pass_count_as_progress(self, database, tmp_path, monkeypatch):
        """Long work without a step counts as progress, so that the training is not taken for hung."""
        enqueue(database, **DIVERGING)
        control, counts = RunControl(), []

        def counted(training, start, epoch, check):
            before = control.progress_count
            try:
                return first_nonfinite_value(training, start, epoch, check)
            finally:
                counts.append(control.progress_count - before)

        monkeypatch.setattr("worker.run.experiment.first_nonfinite_value", counted)
        run_next(database, tmp_path, control)
        assert counts[0] >= 1
        assert control.progress_count - counts[0] > control.step  # its steps, and the batches of a test pass
