"""The supervisor in this process: when it claims, what it does with its training process, and what it counts."""

import re
import subprocess
import sys
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest
from sqlalchemy.exc import OperationalError

from normlab.spec.lifecycle import StopReason
from normlab.store import claims, queue, workers
from normlab.store.claims import Claim
from normlab.store.database import MAX_CONNECTIONS
from normlab.store.schema import SchemaStatus
from tests.experiments import attempts, claimed, do, enqueue, expire, read, until
from tests.worker.worker_process import SMALL
from worker.messages import Finished, Progress, Ready
from worker.settings import WorkerSettings
from worker.supervisor import supervisor
from worker.supervisor.supervisor import Supervisor, Timeouts
from worker.supervisor.training_process import Died, TrainingProcess

DEFAULT = Timeouts()
READY = Ready(device="a device", threads=2)


class ScriptedProcess:
    """A training process that reports what it is given, and records what it is asked for."""

    def __init__(self, *reports, ignores_stop=False):
        self.reports, self.requests, self.ignores_stop = deque(reports), [], ignores_stop

    def receive(self, timeout):
        if self.reports:
            return self.reports.popleft()
        time.sleep(timeout)
        return None

    def has_died(self):
        return False

    def run(self, claim):
        self.claim = claim
        self.requests.append(("run", claim.attempt))

    def send_stop(self, reason):
        self.requests.append(("stop", reason))
        if not self.ignores_stop:
            self.reports.append(Finished(claim=self.claim, refused_write=False, must_exit=False))

    def kill(self):
        self.requests.append(("kill",))


@contextmanager
def working(database, *, name="w", timeouts=DEFAULT, start=TrainingProcess, environment=None, **settings):
    """Run a supervisor in a thread until the block ends."""
    stop = threading.Event()
    environment = {"NORMLAB_DATABASE_URL": database.url, "OMP_NUM_THREADS": "1"} | (environment or {})
    worker_settings = WorkerSettings(database_url=database.url, **settings)
    worker = Supervisor(database, worker_settings, name=name, environment=environment, timeouts=timeouts, start=start)
    with ThreadPoolExecutor(1) as threads:
        future = threads.submit(worker.work, stop)
        try:
            yield future
        finally:
            stop.set()
        future.result()


def worker_row(database, name="w"):
    with database.reading() as session:
        return next((row for row in workers.all_workers(session) if row.name == name), None)


@pytest.mark.slow
class TestStart:
    def test_aborts_a_process_that_is_never_ready(self, sqlite, tmp_path, capfd, caplog):
        """A training process that is not ready in time is ended, with its stack in the log."""
        (tmp_path / "torch").mkdir()
        (tmp_path / "torch" / "__init__.py").write_text("import time\ntime.sleep(1000)")
        environment = {"PYTHONPATH": str(tmp_path)}
        with working(sqlite, environment=environment, timeouts=Timeouts(ready_seconds=2.0)):
            until(lambda: "was not ready after 2 s" in caplog.text)
        assert re.search(r'File ".*torch/__init__.py", line 2 in <module>', capfd.readouterr().err)

    def test_is_repeated_if_there_is_no_memory_for_a_process(self, sqlite):
        """If the training process cannot be started, the worker tries again and no attempt is lost."""
        starts = []

        def fail_once(environment):
            starts.append(environment)
            if len(starts) == 1:
                raise BlockingIOError(11, "Resource temporarily unavailable")
            return TrainingProcess(environment)

        number = enqueue(sqlite, **SMALL)
        with working(sqlite, timeouts=Timeouts(restart_seconds=0.1), start=fail_once):
            until(lambda: read(sqlite, number).status == "succeeded")
        assert attempts(sqlite, number) == [("succeeded", None)]

    def test_replaces_a_process_that_died_while_idle(self, sqlite):
        """If an idle training process dies, another is started before anything is claimed."""
        started = []

        def start(environment):
            started.append(TrainingProcess(environment))
            return started[-1]

        with working(sqlite, start=start, poll_interval_seconds=0.05):
            until(lambda: worker_row(sqlite) is not None and worker_row(sqlite).device is not None)
            started[0].kill()
            until(lambda: len(started) == 2)
            number = enqueue(sqlite, **SMALL)
            until(lambda: read(sqlite, number).status == "succeeded")
        assert attempts(sqlite, number) == [("succeeded", None)]


class TestClaim:
    def test_after_an_outage_waits_for_heartbeats(self, sqlite, monkeypatch):
        """After an outage, running workers get the time of one lease before their experiments are taken over."""
        number = enqueue(sqlite, **SMALL)
        claim = claimed(sqlite, worker="running", lease_seconds=0.2)
        is_unavailable = threading.Event()
        is_unavailable.set()

        def status(engine):
            if is_unavailable.is_set():
                raise OperationalError("SELECT", {}, Exception("the database is unavailable"))
            return SchemaStatus.CURRENT

        monkeypatch.setattr(supervisor, "schema_status", status)
        timeouts, process = Timeouts(database_seconds=0.1), ScriptedProcess(READY)
        with working(sqlite, name="idle", timeouts=timeouts, start=lambda environment: process, lease_seconds=1.5):
            time.sleep(0.5)  # the lease expires
            is_unavailable.clear()
            time.sleep(0.7)
            do(sqlite, claims.heartbeat, claim, step=None, lease_seconds=0.2)
            until(lambda: read(sqlite, number).attempt == 2, seconds=5)  # no further heartbeat is sent
            assert read(sqlite, number).worker == "idle"

    def test_after_an_outage_within_a_training_waits_for_heartbeats(self, sqlite, monkeypatch):
        """An outage that ends before a training does delays takeovers too."""
        other = enqueue(sqlite, **SMALL)
        claim = claimed(sqlite, worker="running")
        number = enqueue(sqlite, **SMALL)
        failures, stop_reason = [], claims.stop_reason

        def fail(session, claim):
            failures.append(claim)
            raise OperationalError("SELECT", {}, Exception("the database is unavailable"))

        process = ScriptedProcess(READY)
        with working(sqlite, name="idle", start=lambda environment: process, lease_seconds=1.5):
            until(lambda: process.requests)
            monkeypatch.setattr(claims, "stop_reason", fail)
            expire(sqlite, other)
            until(lambda: len(failures) >= 2)
            do(sqlite, claims.succeed, Claim(number, 1))
            process.reports.append(Finished(claim=Claim(number, 1), refused_write=False, must_exit=False))
            monkeypatch.setattr(claims, "stop_reason", stop_reason)
            time.sleep(0.5)
            do(sqlite, claims.heartbeat, claim, step=None, lease_seconds=0.2)
            until(lambda: read(sqlite, other).attempt == 2, seconds=5)  # no further heartbeat is sent
            assert read(sqlite, other).worker == "idle"

    @pytest.mark.slow
    def test_waits_for_a_free_connection(self, sqlite):
        """A worker survives a moment in which all database connections are in use."""
        number = enqueue(sqlite, **SMALL)
        sqlite.reader.pool._timeout = 0.1
        with ExitStack() as connections:
            for _ in range(MAX_CONNECTIONS):
                connections.enter_context(sqlite.reader.connect())
            with working(sqlite, poll_interval_seconds=0.1) as future:
                time.sleep(1.0)
                assert not future.done()
                connections.close()
                until(lambda: read(sqlite, number).status == "succeeded")


class TestWatch:
    def test_replaces_a_process_that_must_exit(self, sqlite):
        """A process with abandoned work is killed, and the refused write that it reported is counted."""
        number = enqueue(sqlite, **SMALL)
        finished = Finished(claim=Claim(number, 1), refused_write=True, must_exit=True)
        first = ScriptedProcess(READY, finished)
        processes = deque([first, ScriptedProcess(READY)])
        with working(sqlite, start=lambda environment: processes.popleft()):
            until(lambda: worker_row(sqlite) is not None and worker_row(sqlite).refused_writes == 1)
            assert (worker_row(sqlite).claims, worker_row(sqlite).device) == (1, "a device")
        assert first.requests == [("run", 1), ("kill",)]

    def test_counts_a_lost_claim_once(self, sqlite):
        """A claim that the supervisor finds lost is one refused write, and its training is asked to stop once."""
        number = enqueue(sqlite, **SMALL)
        first = ScriptedProcess(READY, ignores_stop=True)
        processes = deque([first, ScriptedProcess(READY)])
        with working(sqlite, start=lambda environment: processes.popleft()):
            until(lambda: first.requests)
            do(sqlite, queue.remove, number, force=True)
            until(lambda: not processes)  # the first did not stop, so it was killed
            until(lambda: worker_row(sqlite).refused_writes == 1)
        assert first.requests == [("run", 1), ("stop", StopReason.CLAIM_LOST), ("kill",)]

    def test_ignores_a_late_report_of_another_claim(self, sqlite):
        """A progress report that names another claim does not count as progress of this one."""
        number = enqueue(sqlite, **SMALL)
        late, current = Claim(number + 1, 1), Claim(number, 1)
        reports = [
            Progress(claim=current, step=5), Progress(claim=current, step=7), Progress(claim=late, step=900),
            Finished(claim=current, refused_write=False, must_exit=True),
        ]  # fmt: skip
        processes = deque([ScriptedProcess(READY, *reports), ScriptedProcess(READY)])
        with working(sqlite, start=lambda environment: processes.popleft()):
            until(lambda: not processes)
            until(lambda: worker_row(sqlite).steps == 2)

    def test_ends_the_attempt_of_a_process_that_dies(self, sqlite):
        """If the training process dies, its attempt is lost and says how the process ended."""
        number = enqueue(sqlite, **SMALL)
        processes = deque([ScriptedProcess(READY, Died(exit_status="signal SIGKILL")), ScriptedProcess(READY)])
        with working(sqlite, start=lambda environment: processes.popleft()):
            until(lambda: read(sqlite, number).attempt == 2)
        assert attempts(sqlite, number)[0] == ("lost", "its training process ended with signal SIGKILL")


@pytest.mark.slow
def test_supervisor_never_imports_torch():
    """The supervisor's process starts without torch, which takes seconds and much memory."""
    code = "import sys, worker.__main__; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
