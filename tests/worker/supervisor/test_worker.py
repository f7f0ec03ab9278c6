"""Real workers: a supervisor process and its training process, killed, stopped and hung while they train."""

import os
import re
import signal
import time

import pytest

from normlab.store import queue, records
from normlab.store.models import Attempt
from tests.experiments import attempts, do, enqueue, read, until
from tests.torture.workers import can_write
from tests.worker.worker_process import ENDLESS, SMALL, children, is_alive, worker_process

pytestmark = pytest.mark.slow


def trains(database, number):
    return lambda: read(database, number).epochs_done >= 1


def can_train(process):
    return lambda: "training process ready on" in process.log.read_text()


class TestSignals:
    def test_sigterm_to_the_process_group_releases_the_experiment(self, sqlite):
        """A worker whose processes all get a SIGTERM, as systemd and SLURM send it, stores what it has trained."""
        number = enqueue(sqlite, **ENDLESS)
        with worker_process(sqlite) as process:
            until(trains(sqlite, number))
            for pid in (*children(process.pid), process.pid):
                os.kill(pid, signal.SIGTERM)
            assert process.wait(30) == 0
        assert read(sqlite, number).status == "queued"
        assert attempts(sqlite, number) == [("released", None)]
        with sqlite.reading() as session:
            assert records.checkpoint(session, number).step == read(sqlite, number).step > 0

    def test_sigterm_to_a_suspended_worker_is_not_lost(self, sqlite):
        """A SIGTERM that comes while the worker is suspended, as `kill %1` after a ctrl-Z, is not lost."""
        with worker_process(sqlite) as process:
            until(can_train(process))
            for number in (signal.SIGSTOP, signal.SIGTERM, signal.SIGCONT):
                process.send_signal(number)
                time.sleep(0.3)
            assert process.wait(10) == 0

    def test_burst_of_sigterms_stops_a_worker(self, sqlite):
        """A signal that interrupts the handler of another one does not block the worker."""
        with worker_process(sqlite) as process:
            until(can_train(process))
            ends = time.monotonic() + 0.05
            while time.monotonic() < ends:
                process.terminate()
            assert process.wait(10) == 0


class TestTrainingProcess:
    def test_killed_costs_one_attempt(self, sqlite):
        """If the training process is killed, its attempt is lost and the next one resumes at once."""
        number = enqueue(sqlite, **ENDLESS)
        with worker_process(sqlite) as process:
            until(trains(sqlite, number))
            os.kill(children(process.pid)[0], signal.SIGKILL)
            until(lambda: read(sqlite, number).attempt == 2)
            done = read(sqlite, number).epochs_done
            until(lambda: read(sqlite, number).epochs_done > done)
        assert attempts(sqlite, number)[0] == ("lost", "its training process ended with signal SIGKILL")

    def test_killed_too_often_fails_the_experiment(self, sqlite):
        """After the last attempt that may be lost, the experiment fails and its attempts say why."""
        number = enqueue(sqlite, **ENDLESS)

        def lost():
            return sum(outcome == "lost" for outcome, _ in attempts(sqlite, number))

        with worker_process(sqlite, max_attempts=2) as process:
            for attempt in (1, 2):
                until(lambda n=attempt: read(sqlite, number).attempt == n and read(sqlite, number).provenance)
                until(lambda: children(process.pid))
                time.sleep(0.5)
                os.kill(children(process.pid)[0], signal.SIGKILL)
                until(lambda n=attempt: lost() == n)
            until(lambda: read(sqlite, number).status == "failed")
        assert "the limit of 2 lost attempts is reached" in read(sqlite, number).error
        assert [outcome for outcome, _ in attempts(sqlite, number)] == ["lost", "lost"]

    def test_ends_with_its_supervisor(self, sqlite):
        """If the supervisor is killed, its training process ends."""
        number = enqueue(sqlite, **ENDLESS)
        with worker_process(sqlite) as process:
            until(trains(sqlite, number))
            (child,) = children(process.pid)
            process.kill()
            until(lambda: not is_alive(child), seconds=5)

    def test_that_cannot_start_claims_nothing(self, sqlite, tmp_path, monkeypatch):
        """A worker whose training process cannot start costs no experiment an attempt."""
        (tmp_path / "torch").mkdir()
        (tmp_path / "torch" / "__init__.py").write_text("raise ImportError('broken')")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        number = enqueue(sqlite, **SMALL)
        with worker_process(sqlite) as process:
            until(lambda: "before it could train" in process.log.read_text())
            time.sleep(1)
            assert (read(sqlite, number).status, read(sqlite, number).attempt) == ("queued", 0)
            process.terminate()
            assert process.wait(5) == 0

    def test_with_abandoned_work_trains_nothing_more(self, sqlite):
        """A compilation cannot be interrupted, so a process that abandoned one is replaced."""
        network = [{"kind": "convolution", "channels": 64}] * 8 + [{"kind": "linear", "features": 10}]
        number = enqueue(sqlite, **(ENDLESS | {"engine": "compiled", "network": network}))
        with worker_process(sqlite) as process:
            until(lambda: read(sqlite, number).status == "running")
            (child,) = children(process.pid)
            until(lambda: children(child))  # the compilers
            do(sqlite, queue.cancel, number)
            until(lambda: read(sqlite, number).status == "cancelled", seconds=5)
            other = enqueue(sqlite, **SMALL)
            until(lambda: read(sqlite, other).status == "succeeded")
            assert not is_alive(child)
        assert attempts(sqlite, other) == [("succeeded", None)]

    def test_output_of_a_library_goes_to_the_log(self, sqlite, tmp_path, monkeypatch):
        """What a library prints is in the log and does not disturb the messages to the supervisor."""
        (tmp_path / "sitecustomize.py").write_text("print('1'); print('a greeting')")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        number = enqueue(sqlite, **SMALL)
        with worker_process(sqlite) as process:
            until(lambda: read(sqlite, number).status == "succeeded")
            assert "a greeting" in process.log.read_text()


class TestHungTraining:
    def test_loses_its_attempt_and_logs_its_stack(self, sqlite):
        """A training that makes no step for too long is ended, with the stacks of all its threads in the log."""
        number = enqueue(sqlite, **ENDLESS)
        with worker_process(sqlite, step_timeout_seconds=2) as process:
            until(lambda: read(sqlite, number).epochs_done >= 30)  # so that its supervisor knows of a step
            (child,) = children(process.pid)
            os.kill(child, signal.SIGSTOP)
            time.sleep(4)
            os.kill(child, signal.SIGCONT)  # because a suspended process cannot write its stacks
            until(lambda: read(sqlite, number).attempt == 2, seconds=30)
            log = process.log.read_text()
        assert re.search(r'File ".*experiment.py", line \d+ in train', log), log
        assert re.search(r'File ".*child.py", line \d+ in _report_progress', log), log  # of every thread
        (lost, *_) = attempts(sqlite, number)
        detail = "its training made no step for 2 s (NORMLAB_STEP_TIMEOUT_SECONDS); its stack is in the log"
        assert lost == ("lost", detail)

    def test_is_found_before_its_first_step(self, sqlite):
        """A training that hangs before its first step loses its attempt after the startup timeout."""
        number = enqueue(sqlite, **ENDLESS)
        with worker_process(sqlite, startup_timeout_seconds=3) as process:
            until(lambda: read(sqlite, number).status == "running" and children(process.pid))
            os.kill(children(process.pid)[0], signal.SIGSTOP)
            until(lambda: attempts(sqlite, number)[0][0] == "lost")
        assert attempts(sqlite, number)[0][1] == (
            "its training made no step for 3 s (NORMLAB_STARTUP_TIMEOUT_SECONDS); its stack is in the log"
        )


class TestTakeover:
    def test_comes_when_the_lease_has_expired_and_not_before(self, sqlite):
        """If a supervisor is killed, another worker takes its experiment over as soon as the lease has expired."""
        number = enqueue(sqlite, **ENDLESS)
        with worker_process(sqlite, lease_seconds=4) as first:
            until(trains(sqlite, number))
            with worker_process(sqlite, poll_interval_seconds=0.1) as second:
                until(can_train(second))
                first.kill()
                first.wait()
                expires = read(sqlite, number).lease_expires_at
                until(lambda: read(sqlite, number).attempt == 2)
                with sqlite.reading() as session:
                    claimed_at = session.get_one(Attempt, (number, 2)).claimed_at
        assert 0 <= claimed_at - expires < 1.0
        assert attempts(sqlite, number)[0][0] == "lost"

    def test_is_noticed_by_a_worker_that_was_suspended(self, sqlite):
        """A worker that continues after its lease has expired writes nothing to the experiment and claims another."""
        number = enqueue(sqlite, **ENDLESS)
        with worker_process(sqlite, lease_seconds=1) as first:
            until(trains(sqlite, number))
            (child,) = children(first.pid)
            both = (first.pid, child)
            while [os.kill(pid, signal.SIGSTOP) for pid in both] and not can_write(sqlite):
                for pid in both:  # it was suspended within a write, so that no other process could write
                    os.kill(pid, signal.SIGCONT)
                time.sleep(0.05)
            with worker_process(sqlite, lease_seconds=1) as second:
                until(lambda: read(sqlite, number).attempt == 2)
                for pid in (child, first.pid):
                    os.kill(pid, signal.SIGCONT)
                until(lambda: "no longer the current one" in first.log.read_text())
                other = enqueue(sqlite, **SMALL)
                until(lambda: read(sqlite, other).status == "succeeded")
                assert read(sqlite, number).worker.endswith(f":{second.pid}:0")
                assert read(sqlite, other).worker.endswith(f":{first.pid}:0")


class TestRequests:
    def test_pause_resume_and_cancel_take_effect_within_seconds(self, sqlite):
        """A pause takes effect within 2 seconds and loses no step. A cancellation takes effect within 3 seconds."""
        number = enqueue(sqlite, **ENDLESS)
        with worker_process(sqlite) as process:
            until(trains(sqlite, number))
            do(sqlite, queue.pause, number)
            until(lambda: read(sqlite, number).status == "paused", seconds=2)
            with sqlite.reading() as session:
                stored = records.checkpoint(session, number).step
            do(sqlite, queue.resume, number)
            until(lambda: read(sqlite, number).status == "running" and read(sqlite, number).provenance)
            until(lambda: (read(sqlite, number).provenance["resumed_at_step"] or 0) >= stored)
            do(sqlite, queue.cancel, number)
            until(lambda: read(sqlite, number).status == "cancelled", seconds=3)
            assert process.poll() is None
        assert [outcome for outcome, _ in attempts(sqlite, number)] == ["paused", "cancelled"]

    def test_deletion_by_force_stops_the_training(self, sqlite):
        """If a running experiment is deleted, its worker continues with the next one."""
        number, other = enqueue(sqlite, **ENDLESS), enqueue(sqlite, **SMALL)
        with worker_process(sqlite) as process:
            until(trains(sqlite, number))
            do(sqlite, queue.remove, number, force=True)
            until(lambda: read(sqlite, other).status == "succeeded")
            assert process.poll() is None

    def test_time_limit_fails_the_experiment(self, sqlite):
        """An experiment that runs for longer than its max_run_seconds fails."""
        number = enqueue(sqlite, **(ENDLESS | {"max_run_seconds": 0.5}))
        with worker_process(sqlite, lease_seconds=1.5):
            until(lambda: read(sqlite, number).status == "failed")
        assert "max_run_seconds" in read(sqlite, number).error
