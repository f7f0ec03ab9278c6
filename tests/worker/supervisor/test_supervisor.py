"""Real workers: a supervisor process and its child, killed, stopped and hung while they train."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from normlab.store import claims, queue, records
from normlab.store.claims import Claim
from normlab.store.database import CONNECTIONS, Database
from normlab.store.models import Attempt
from normlab.store.schema import SchemaStatus, migrate
from tests.experiments import attempts, enqueue, read, until
from tests.torture.workers import can_write
from worker.__main__ import main
from worker.settings import WorkerSettings
from worker.supervisor import supervisor
from worker.supervisor.claim_watch import ClaimWatch
from worker.supervisor.supervisor import Supervisor, Timeouts
from worker.supervisor.training_process import TrainingProcess

SMALL = {
    "dataset": "digits", "image_size": 16, "train_size": 80, "test_size": 40, "epochs": 3, "engine": "eager",
    "gradient_check": False, "capture_quantities": ["weight_gradient"],
}  # fmt: skip
ENDLESS = SMALL | {"epochs": 100_000}


@pytest.fixture
def database(tmp_path):
    made = Database(f"sqlite:///{tmp_path / 'normlab.db'}")
    migrate(made)
    yield made
    made.close()


@contextmanager
def worker(database, *arguments, **settings):
    """A worker process, and its log as a file; killed at the end if it is still there."""
    log = Path(database.writer.url.database).with_name(f"worker-{time.monotonic_ns()}.log")
    environment = os.environ | {"NORMLAB_DATABASE_URL": database.url, "OMP_NUM_THREADS": "1"}
    environment |= {f"NORMLAB_{name.upper()}": str(value) for name, value in settings.items()}
    with log.open("w") as out:
        process = subprocess.Popen([sys.executable, "-m", "worker", *arguments], env=environment, stderr=out)
        process.log = log
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
                process.wait()


def children(pid):
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


def trains(database, number):
    return lambda: read(database, number).epochs_done >= 1


def test_a_child_that_is_killed_costs_its_attempt_and_the_next_one_goes_on_at_once(database):
    number = enqueue(database, **ENDLESS)
    with worker(database) as process:
        until(trains(database, number))
        os.kill(children(process.pid)[0], signal.SIGKILL)
        until(lambda: read(database, number).attempt == 2)
        done = read(database, number).epochs_done
        until(lambda: read(database, number).epochs_done > done)
    assert attempts(database, number)[0] == ("lost", "its training process ended with signal SIGKILL")


def test_a_sigterm_to_the_whole_group_gives_the_experiment_back_from_where_it_stood(database):
    number = enqueue(database, **ENDLESS)
    with worker(database) as process:
        until(trains(database, number))
        for pid in (*children(process.pid), process.pid):  # as systemd and SLURM stop what they started
            os.kill(pid, signal.SIGTERM)
        assert process.wait(30) == 0
    assert read(database, number).status == "queued"
    assert attempts(database, number) == [("released", None)]
    with database.reading() as session:
        assert records.checkpoint(session, number).step == read(database, number).step > 0


def test_a_worker_that_was_stopped_heeds_a_sigterm_when_it_goes_on(database):
    with worker(database) as process:
        until(lambda: "trains on" in process.log.read_text())
        for number in (signal.SIGSTOP, signal.SIGTERM, signal.SIGCONT):  # as `kill %1` after a ctrl-Z
            process.send_signal(number)
            time.sleep(0.3)
        assert process.wait(10) == 0


def test_signals_in_a_burst_stop_a_worker_as_one_does(database):
    with worker(database) as process:
        until(lambda: "trains on" in process.log.read_text())
        ends = time.monotonic() + 0.05
        while time.monotonic() < ends:
            process.terminate()
        assert process.wait(10) == 0


def test_what_a_library_prints_goes_to_the_log_and_disturbs_nobody(database, tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text("print('1'); print('a greeting')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    number = enqueue(database, **SMALL)
    with worker(database) as process:
        until(lambda: read(database, number).status == "succeeded")
        assert "a greeting" in process.log.read_text()


def test_a_worker_whose_child_cannot_start_claims_nothing(database, tmp_path, monkeypatch):
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise ImportError('broken')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    number = enqueue(database, **SMALL)
    with worker(database) as process:
        until(lambda: "before it could train" in process.log.read_text())
        time.sleep(1)
        assert (read(database, number).status, read(database, number).attempt) == ("queued", 0)
        process.terminate()
        assert process.wait(5) == 0


def test_a_child_that_never_gets_ready_is_ended_with_its_stack_in_the_log(
    database, tmp_path, monkeypatch, capfd, caplog
):
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("import time\ntime.sleep(1000)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    stop = threading.Event()
    settings = WorkerSettings(database_url=database.url)
    one = Supervisor(database, settings, name="w", environment={}, timeouts=Timeouts(ready_seconds=2.0))
    with ThreadPoolExecutor(1) as threads:
        working = threads.submit(one.work, stop)
        try:
            until(lambda: "was not ready after 2 s" in caplog.text)
        finally:
            stop.set()
        working.result()
    assert re.search(r'File ".*torch/__init__.py", line 2 in <module>', capfd.readouterr().err)


def test_who_lived_through_an_outage_is_heard_of_before_anybody_takes_over(database, monkeypatch):
    number, settings = enqueue(database, **SMALL), WorkerSettings(database_url=database.url, lease_seconds=1.5)
    with database.writing.begin() as session:
        held = claims.claim(session, worker="lives", lease_seconds=0.2)
    away, stop = threading.Event(), threading.Event()
    away.set()

    def status(engine):
        if away.is_set():
            raise OperationalError("SELECT", {}, Exception("it is away"))
        return SchemaStatus.CURRENT

    monkeypatch.setattr(supervisor, "schema_status", status)
    idle = Supervisor(database, settings, name="idle", environment={}, timeouts=Timeouts(database_seconds=0.1))
    monkeypatch.setattr(idle, "_can_train", lambda stop: True)
    monkeypatch.setattr(idle, "_watch", lambda claim, stop: stop.wait())
    with ThreadPoolExecutor(1) as threads:
        working = threads.submit(idle.work, stop)
        try:
            time.sleep(0.5)  # the lease runs out
            away.clear()
            time.sleep(0.7)
            with database.writing.begin() as session:
                claims.heartbeat(session, held, step=None, lease_seconds=0.2)
            until(lambda: read(database, number).attempt == 2, seconds=5)  # who is heard of no more is lost
        finally:
            stop.set()
        working.result()
    assert read(database, number).worker == "idle"


def test_a_child_with_work_left_behind_that_nobody_waits_for_trains_nothing_more(database):
    network = [{"kind": "convolution", "channels": 64}] * 8 + [{"kind": "linear", "features": 10}]
    number = enqueue(database, **(ENDLESS | {"engine": "compiled", "network": network}))
    with worker(database) as process:
        until(lambda: read(database, number).status == "running")
        (child,) = children(process.pid)
        until(lambda: children(child))  # compilers: a compilation takes long, and cannot be asked to stop
        with database.writing.begin() as session:
            queue.cancel(session, number)
        until(lambda: read(database, number).status == "cancelled", seconds=5)
        other = enqueue(database, **SMALL)
        until(lambda: read(database, other).status == "succeeded")
        assert not is_alive(child)
    assert attempts(database, other) == [("succeeded", None)]


def test_a_child_does_not_outlive_its_supervisor(database):
    number = enqueue(database, **ENDLESS)
    with worker(database) as process:
        until(trains(database, number))
        (child,) = children(process.pid)
        process.kill()
        until(lambda: not is_alive(child), seconds=5)


def test_a_supervisor_that_is_killed_is_taken_over_from_when_its_lease_has_run_out_and_not_before(database):
    number = enqueue(database, **ENDLESS)
    with worker(database, lease_seconds=4) as first:
        until(trains(database, number))
        with worker(database, poll_interval_seconds=0.1):
            first.kill()
            first.wait()
            expires = read(database, number).lease_expires_at
            until(lambda: read(database, number).attempt == 2)
            with database.reading() as session:
                claimed = session.get_one(Attempt, (number, 2)).claimed_at
    assert 0 <= claimed - expires < 1.0
    assert attempts(database, number)[0][0] == "lost"


def test_a_stopped_supervisor_that_wakes_after_its_lease_finds_its_claim_gone_and_writes_nothing(database):
    number = enqueue(database, **ENDLESS)
    with worker(database, lease_seconds=1) as first:
        until(trains(database, number))
        (child,) = children(first.pid)
        both = (first.pid, child)
        while [os.kill(pid, signal.SIGSTOP) for pid in both] and not can_write(database):
            for pid in both:  # it was stopped within a write, and nobody else could write before it goes on
                os.kill(pid, signal.SIGCONT)
            time.sleep(0.05)
        with worker(database, lease_seconds=1) as second:
            until(lambda: read(database, number).attempt == 2)
            for pid in (child, first.pid):
                os.kill(pid, signal.SIGCONT)
            until(lambda: "no longer the current one" in first.log.read_text())
            other = enqueue(database, **SMALL)
            until(lambda: read(database, other).status == "succeeded")
            assert read(database, number).worker.endswith(f":{second.pid}:0")
            assert read(database, other).worker.endswith(f":{first.pid}:0")


def test_a_training_that_hangs_loses_its_attempt_and_its_stack_is_in_the_log(database):
    number = enqueue(database, **ENDLESS)
    with worker(database, step_timeout_seconds=2) as process:
        until(lambda: read(database, number).epochs_done >= 30)  # so its supervisor has heard of a step
        (child,) = children(process.pid)
        os.kill(child, signal.SIGSTOP)
        time.sleep(4)
        os.kill(child, signal.SIGCONT)  # a stopped process can write no stack; one that hangs can
        until(lambda: read(database, number).attempt == 2, seconds=30)
        log = process.log.read_text()
    assert re.search(r'File ".*experiment.py", line \d+ in train', log), log
    assert re.search(r'File ".*child.py", line \d+ in _report_progress', log), log  # of every thread
    (lost, *_) = attempts(database, number)
    assert lost == ("lost", "its training made no step for 2 s; its stack is in the log")


def test_a_supervisor_that_was_stopped_itself_does_not_take_its_training_for_hung(database, monkeypatch):
    now = [1000.0]
    settings = WorkerSettings(database_url=database.url, step_timeout_seconds=2)
    watch = ClaimWatch(database, Claim(1, 1), settings, clock=lambda: now[0])
    watch.advanced(7)
    now[0] += 600
    assert not watch.is_hung()  # what its child said meanwhile is still to be heard
    quiet = 0.0
    while not watch.is_hung():
        now[0] += 0.25
        quiet += 0.25
    assert 1.5 <= quiet <= 2.5


@pytest.mark.parametrize("lease_seconds", [1.0, 30.0])
def test_a_lease_is_renewed_every_third_of_it(database, monkeypatch, lease_seconds):
    enqueue(database, **SMALL)
    with database.writing.begin() as session:
        held = claims.claim(session, worker="w", lease_seconds=60)
    now, beats, heartbeat = [1000.0], [], claims.heartbeat

    def beat(*arguments, **more):
        beats.append(now[0])
        now[0] += 0.005  # what it takes
        return heartbeat(*arguments, **more)

    monkeypatch.setattr(claims, "heartbeat", beat)
    settings = WorkerSettings(database_url=database.url, lease_seconds=lease_seconds)
    watch = ClaimWatch(database, held, settings, clock=lambda: now[0])
    while len(beats) < 5:
        now[0] += watch.seconds_to_next_check() + 1e-6
        watch.check(stopping=False)
    gaps = [later - earlier for earlier, later in pairwise(beats)]
    assert all(lease_seconds / 3 <= gap < 0.4 * lease_seconds for gap in gaps), gaps


def test_a_training_process_that_there_is_no_room_for_is_tried_again(database):
    tried = []

    def no_room_at_first(environment):
        tried.append(None)
        if len(tried) == 1:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return TrainingProcess(environment)

    timeouts = Timeouts(restart_seconds=0.1)
    number, stop = enqueue(database, **SMALL), threading.Event()
    environment = {"NORMLAB_DATABASE_URL": database.url, "OMP_NUM_THREADS": "1"}
    settings = WorkerSettings(database_url=database.url)
    one = Supervisor(database, settings, name="w", environment=environment, timeouts=timeouts, start=no_room_at_first)
    with ThreadPoolExecutor(1) as threads:
        working = threads.submit(one.work, stop)
        try:
            until(lambda: read(database, number).status == "succeeded")
        finally:
            stop.set()
        working.result()
    assert attempts(database, number) == [("succeeded", None)]


def test_a_training_that_hangs_before_its_first_step_is_found_too(database):
    number = enqueue(database, **ENDLESS)
    with worker(database, startup_timeout_seconds=3) as process:
        until(lambda: read(database, number).status == "running" and children(process.pid))
        os.kill(children(process.pid)[0], signal.SIGSTOP)
        until(lambda: attempts(database, number)[0][0] == "lost")
    assert attempts(database, number)[0][1] == "its training made no step for 3 s; its stack is in the log"


def test_attempts_are_capped_and_the_experiment_fails_with_its_history(database):
    number = enqueue(database, **ENDLESS)
    with worker(database, max_attempts=2) as process:
        for attempt in (1, 2):
            until(
                lambda attempt=attempt: read(database, number).attempt == attempt and read(database, number).provenance
            )
            until(lambda: children(process.pid))
            time.sleep(0.5)
            os.kill(children(process.pid)[0], signal.SIGKILL)
            until(lambda attempt=attempt: len([o for o, _ in attempts(database, number) if o == "lost"]) == attempt)
        until(lambda: read(database, number).status == "failed")
    assert "lost 2 times" in read(database, number).error
    assert [outcome for outcome, _ in attempts(database, number)] == ["lost", "lost"]


def test_cancelling_takes_effect_within_two_seconds_and_pausing_and_resuming_loses_nothing(database):
    number = enqueue(database, **ENDLESS)
    with worker(database) as process:
        until(trains(database, number))
        with database.writing.begin() as session:
            queue.pause(session, number)
        until(lambda: read(database, number).status == "paused", seconds=2)
        with database.reading() as session:
            stored = records.checkpoint(session, number).step
        with database.writing.begin() as session:
            queue.resume(session, number)
        until(lambda: read(database, number).status == "running" and read(database, number).provenance)
        until(lambda: (read(database, number).provenance["resumed_at_step"] or 0) >= stored)
        with database.writing.begin() as session:
            queue.cancel(session, number)
        until(lambda: read(database, number).status == "cancelled", seconds=3)
        assert process.poll() is None
    assert [outcome for outcome, _ in attempts(database, number)] == ["paused", "cancelled"]


def test_a_running_experiment_that_is_deleted_by_force_stops_its_training(database):
    number, other = enqueue(database, **ENDLESS), enqueue(database, **SMALL)
    with worker(database) as process:
        until(trains(database, number))
        with database.writing.begin() as session:
            queue.remove(session, number, force=True)
        until(lambda: read(database, other).status == "succeeded")
        assert process.poll() is None


def test_an_experiment_that_runs_for_too_long_fails(database):
    number = enqueue(database, **(ENDLESS | {"max_run_seconds": 0.5}))
    with worker(database, lease_seconds=1.5):
        until(lambda: read(database, number).status == "failed")
    assert "max_run_seconds" in read(database, number).error


def test_a_worker_that_breaks_ends_the_others_of_its_command_which_then_says_why(database, monkeypatch):
    stopped = []

    def work(self, stop):
        if self._name.endswith(":0"):
            stopped.append(stop.wait(10))
        else:
            raise ZeroDivisionError

    monkeypatch.setattr(Supervisor, "work", work)
    monkeypatch.setattr(sys, "argv", ["worker", "--workers", "2"])
    monkeypatch.setenv("NORMLAB_DATABASE_URL", database.url)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with pytest.raises(ZeroDivisionError):
            main()
        assert stopped == [True]
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def test_a_worker_lives_through_a_moment_when_all_connections_are_taken(database):
    number = enqueue(database, **SMALL)
    settings = WorkerSettings(database_url=database.url, poll_interval_seconds=0.1)
    stop = threading.Event()
    environment = {"NORMLAB_DATABASE_URL": database.url, "OMP_NUM_THREADS": "1"}
    one = Supervisor(database, settings, name="w", environment=environment)
    database.reader.pool._timeout = 0.1
    with ThreadPoolExecutor(1) as threads, ExitStack() as taken:
        for _ in range(CONNECTIONS):
            taken.enter_context(database.reader.connect())
        working = threads.submit(one.work, stop)
        try:
            time.sleep(1.0)
            assert not working.done()
            taken.close()
            until(lambda: read(database, number).status == "succeeded")
        finally:
            stop.set()
        working.result()


def test_two_workers_of_one_command_train_two_experiments_at_once(database):
    numbers = [enqueue(database, **ENDLESS) for _ in range(2)]
    with worker(database, "--workers", "2") as process:
        for number in numbers:
            until(trains(database, number))
        assert len({read(database, number).worker for number in numbers}) == 2
        process.terminate()
        assert process.wait(60) == 0
    assert [read(database, number).status for number in numbers] == ["queued", "queued"]
    assert attempts(database, numbers[0]) == [("released", None)]


def test_a_supervisor_never_imports_torch():
    code = "import sys, worker.__main__; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
