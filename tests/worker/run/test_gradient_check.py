"""A requested gradient check in a worker: taken at the last checkpoint, before the next experiment."""

import os
import signal

import pytest

from normlab.spec.gradient_check import GradientCheck
from normlab.store import gradient_checks
from normlab.store.errors import CheckLost
from normlab.store.models import Experiment
from tests.experiments import do, read, until
from tests.worker.run.runs import enqueue, run_next
from tests.worker.worker_process import children, worker_process
from worker.run.gradient_check import run_check
from worker.settings import WorkerSettings

pytestmark = pytest.mark.slow


def latest(database, number):
    with database.reading() as session:
        return gradient_checks.latest(session, number)


def trained(database, data_dir):
    number = enqueue(database, normalization="batch", gradient_check=False, engine="eager")
    assert run_next(database, data_dir).status == "succeeded"
    return number


def claim_check(database, number, lease_seconds=30):
    do(database, gradient_checks.request, number)
    return do(database, gradient_checks.claim, worker="w", lease_seconds=lease_seconds, max_attempts=5)


class TestRunCheck:
    def test_is_taken_at_the_last_checkpoint(self, sqlite, tmp_path):
        """The result says after how many steps it was taken, and the experiment stays as it was."""
        number = trained(sqlite, tmp_path)
        run_check(sqlite, claim_check(sqlite, number), WorkerSettings(database_url=sqlite.url, data_dir=tmp_path))
        check = GradientCheck.model_validate(latest(sqlite, number).result)
        assert (check.passed, check.step, check.engine) == (True, 12, "eager")
        assert read(sqlite, number).status == "succeeded"
        assert read(sqlite, number).gradient_check is None

    def test_that_is_wrong_is_a_result(self, sqlite, tmp_path, monkeypatch):
        """A check that does not pass is stored with its first error, and the experiment stays as it was."""
        number = trained(sqlite, tmp_path)
        monkeypatch.setattr("normcore.layers.RunningStatistics.update", lambda self, moments: None)
        run_check(sqlite, claim_check(sqlite, number), WorkerSettings(database_url=sqlite.url, data_dir=tmp_path))
        check = GradientCheck.model_validate(latest(sqlite, number).result)
        assert not check.passed
        assert "running_mean" in check.failure

    def test_without_its_images_fails_with_the_reason(self, sqlite, tmp_path):
        """A check that cannot be taken has an error instead of a result."""
        number = trained(sqlite, tmp_path)
        with sqlite.writing.begin() as session:
            experiment = session.get_one(Experiment, number)
            experiment.spec = experiment.spec | {"dataset": "folder", "folder": "nowhere"}
        run_check(sqlite, claim_check(sqlite, number), WorkerSettings(database_url=sqlite.url, data_dir=tmp_path))
        assert "nowhere" in latest(sqlite, number).error

    def test_that_another_worker_has_writes_nothing(self, sqlite, tmp_path):
        """The result of a worker whose lease has expired is not written."""
        number = trained(sqlite, tmp_path)
        first = claim_check(sqlite, number, lease_seconds=-1)
        second = claim_check(sqlite, number)
        run_check(sqlite, first, WorkerSettings(database_url=sqlite.url, data_dir=tmp_path))
        assert latest(sqlite, number).result is None
        with pytest.raises(CheckLost):
            do(sqlite, gradient_checks.heartbeat, first, lease_seconds=30)
        do(sqlite, gradient_checks.heartbeat, second, lease_seconds=30)


class TestWorker:
    def test_takes_a_check_and_survives_a_killed_process(self, sqlite, tmp_path):
        """If the training process is killed while it takes a check, the next training process takes it."""
        number = trained(sqlite, tmp_path)
        with worker_process(sqlite, data_dir=tmp_path) as process:
            until(lambda: "training process ready on" in process.log.read_text())
            (child,) = children(process.pid)
            os.kill(child, signal.SIGSTOP)
            do(sqlite, gradient_checks.request, number)
            until(lambda: latest(sqlite, number).attempt == 1)
            os.kill(child, signal.SIGKILL)
            until(lambda: latest(sqlite, number).ended_at is not None, seconds=120)
        check = latest(sqlite, number)
        assert (check.attempt, check.lost_attempts, check.result["step"]) == (2, 1, 12)
