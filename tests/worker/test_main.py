"""The command `python -m worker`: several workers, its signals, its log and its settings."""

import json
import os
import signal
import subprocess
import sys

import pytest

from normlab.store.schema import schema_revision
from tests.experiments import attempts, enqueue, read, until
from tests.worker.worker_process import ENDLESS, worker_process
from worker import __main__ as command
from worker.supervisor.supervisor import Supervisor

pytestmark = pytest.mark.slow


class TestSeveralWorkers:
    def test_of_one_command_train_at_the_same_time(self, sqlite):
        """`--workers 2` trains two experiments at once, and both are released at a SIGTERM."""
        numbers = [enqueue(sqlite, **ENDLESS) for _ in range(2)]
        with worker_process(sqlite, "--workers", "2") as process:
            for number in numbers:
                until(lambda number=number: read(sqlite, number).epochs_done >= 1)
            assert len({read(sqlite, number).worker for number in numbers}) == 2
            process.terminate()
            assert process.wait(60) == 0
        assert [read(sqlite, number).status for number in numbers] == ["queued", "queued"]
        assert attempts(sqlite, numbers[0]) == [("released", None)]

    def test_all_stop_if_one_fails(self, sqlite, monkeypatch):
        """If one of several supervisors fails, the others stop and the command raises its error."""
        stopped = []

        def work(self, stop):
            if self._name.endswith(":0"):
                stopped.append(stop.wait(10))
            else:
                raise ZeroDivisionError

        monkeypatch.setattr(Supervisor, "work", work)
        monkeypatch.setattr(sys, "argv", ["worker", "--workers", "2"])
        monkeypatch.setenv("NORMLAB_DATABASE_URL", sqlite.url)
        handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            with pytest.raises(ZeroDivisionError):
                command.main()
            assert stopped == [True]
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def test_share_the_cores_and_take_a_gpu_each(self, monkeypatch):
        """Each of several training processes gets an equal part of the cores and, in turn, one of the visible GPUs."""
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        monkeypatch.setattr(command, "cores", lambda: 8)
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
        environments = command._environments(3)
        assert [environment["OMP_NUM_THREADS"] for environment in environments] == ["2", "2", "2"]
        assert [environment["CUDA_VISIBLE_DEVICES"] for environment in environments] == ["2", "5", "2"]
        assert command._environments(1) == [{}]

    @pytest.mark.parametrize("number", ["0", "-1", "two"])
    def test_need_a_positive_number(self, number):
        """A number of workers that is not positive is refused."""
        result = subprocess.run([sys.executable, "-m", "worker", "--workers", number], capture_output=True, text=True)
        assert result.returncode == 2
        assert "--workers" in result.stderr


class TestDatabaseLine:
    """The line about the database that a worker logs at its start."""

    def test_names_the_database(self, database, tmp_path):
        """The first line has the database's place, its schema and the number of experiments."""
        enqueue(database)
        line = first_line(database.url, tmp_path)
        assert line["event"] == f"database {database.location}: schema {schema_revision(database.reader)}, 1 experiment"

    def test_makes_no_database_beside_an_existing_one(self, sqlite, tmp_path):
        """A worker with a misspelt path makes no database, and names the one that exists."""
        enqueue(sqlite)
        line = first_line(f"sqlite:///{tmp_path}/normalb.db", tmp_path)
        assert line["level"] == "warning"
        assert (
            f"{tmp_path}/normalb.db does not exist yet; other databases: {sqlite.location} (1 experiment)"
            in line["event"]
        )
        assert not (tmp_path / "normalb.db").exists()


def first_line(url, data_dir):
    """Start a worker, stop it after it has waited for its database, and return the first line of its log."""
    environment = os.environ | {"NORMLAB_DATABASE_URL": url, "NORMLAB_DATA_DIR": str(data_dir)}
    with subprocess.Popen(
        [sys.executable, "-m", "worker"], env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        line = process.stderr.readline()
        if "does not exist" in line:
            assert "has no schema yet" in process.stderr.readline()
        process.terminate()
        process.stderr.read()
    return json.loads(line)


class TestCommand:
    def test_logs_an_epoch_per_line_and_stops_at_sigterm(self, database, tmp_path):
        """The log has one line per epoch with its metrics. At a SIGTERM the experiment is queued again."""
        number = enqueue(database, **ENDLESS)
        environment = os.environ | {"NORMLAB_DATABASE_URL": database.url, "NORMLAB_DATA_DIR": str(tmp_path)}
        with subprocess.Popen(
            [sys.executable, "-m", "worker"], env=environment, stderr=subprocess.PIPE, text=True
        ) as process:
            line = next(line for line in process.stderr if "epoch 0 (last: 99999) loss" in line)
            process.send_signal(signal.SIGTERM)
            rest = process.stderr.read()
        assert process.returncode == 0, rest
        for word in ("loss 2.", "train ", "test ", "images/s", "s left"):
            assert word in line
        assert read(database, number).status == "queued"

    def test_stops_when_standard_input_closes(self, database, tmp_path):
        """With --stop-with-stdin, a worker stops when its parent closes the pipe or dies."""
        environment = os.environ | {"NORMLAB_DATABASE_URL": database.url, "NORMLAB_DATA_DIR": str(tmp_path)}
        arguments = [sys.executable, "-m", "worker", "--stop-with-stdin"]
        process = subprocess.Popen(arguments, env=environment, stdin=subprocess.PIPE)
        process.stdin.close()
        assert process.wait(60) == 0
