"""The socket between a supervisor and its training process, at both ends, with real processes."""

import gc
import os
import re
import select
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from normlab.spec.lifecycle import StopReason
from normlab.store.claims import Claim
from worker.messages import Finished, Progress, Ready
from worker.supervisor.training_process import Died, TrainingProcess

pytestmark = pytest.mark.slow

CLAIM = Claim(1, 1)


@pytest.fixture
def environment(tmp_path):
    return {"NORMLAB_DATABASE_URL": f"sqlite:///{tmp_path / 'normlab.db'}"}


@pytest.fixture
def started(environment):
    """Return a function that starts a training process of a module in this folder, which is killed in the end."""
    processes = []

    def start(module):
        process = TrainingProcess(environment, module=f"tests.worker.supervisor.{module}")
        processes.append(process)
        process.run(CLAIM)
        assert isinstance(process.receive(timeout=60), Ready)
        return process

    yield start
    for process in processes:
        process.kill()


class TestStart:
    def test_that_fails_closes_the_socket(self):
        """If the process cannot be started, OSError is raised and no file descriptor is left open."""
        with pytest.raises(OSError, match="Argument list too long"):
            TrainingProcess({"NORMLAB_DATA_DIR": "x" * 2**22})
        gc.collect()  # an open socket would warn here, and a warning fails the test

    def test_does_not_collapse_beside_busy_processes(self, environment):
        """Its threads sleep while they wait, and it has its full part of the cores without delaying others."""
        process = TrainingProcess(environment)
        try:
            assert isinstance(process.receive(timeout=60), Ready)
            pid = process._process.pid
            variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            assert {b"OMP_WAIT_POLICY=PASSIVE", b"KMP_BLOCKTIME=0"} <= set(variables)
            assert os.sched_getscheduler(pid) == os.SCHED_BATCH
            assert os.getpriority(os.PRIO_PROCESS, pid) == os.getpriority(os.PRIO_PROCESS, 0)
        finally:
            process.kill()


class TestReceive:
    def test_reports_the_death_though_a_grandchild_lives(self, started):
        """The death of a training process is reported even while a process that it started still runs."""
        process = started("parent_child")
        assert process.receive(timeout=10) == Progress(claim=CLAIM, step=1)  # it has started another process
        process.kill()
        assert process.receive(timeout=5) == Died(exit_status="signal SIGKILL")

    def test_reports_progress_without_a_step(self, started):
        """A training that advances without a step, such as in a test pass, is reported again and again."""
        process = started("lingering_child")
        assert [process.receive(timeout=10) for _ in range(3)] == 3 * [Progress(claim=CLAIM, step=7)]
        process.kill()
        while isinstance(report := process.receive(timeout=10), Progress):
            pass
        assert report == Died(exit_status="signal SIGKILL")

    def test_reports_the_death_after_half_a_report(self, started, caplog):
        """A process that ends within a report has died, and what it sent is in the log."""
        process = started("truncating_child")
        assert process.receive(timeout=10) == Died(exit_status="exit code 0")
        assert "a report that cannot be read" in caplog.text


class TestHasDied:
    def test_sees_the_death_behind_unread_reports(self, started):
        """A death is seen even if progress reports came before it that nobody has read."""
        process = started("lingering_child")
        assert not process.has_died()
        assert isinstance(process.receive(timeout=10), Progress)
        time.sleep(0.6)  # more reports come
        process.kill()
        time.sleep(0.3)
        assert process.has_died()


class TestFinished:
    @pytest.mark.parametrize("stop", [None, StopReason.CLAIM_LOST])
    def test_counts_a_refused_write_once(self, started, stop):
        """A refused write is reported, unless the supervisor knew of the lost claim and has counted it."""
        process = started("refusing_child")
        assert process.receive(timeout=10) == Progress(claim=CLAIM, step=1)
        process.send_stop(stop or StopReason.RELEASE)
        assert process.receive(timeout=10) == Finished(claim=CLAIM, refused_write=stop is None, must_exit=False)


class TestAbort:
    def test_logs_the_stack_of_a_process_that_holds_the_lock(self, started, capfd):
        """A training that hangs with the interpreter's lock cannot react to an Abort, and still writes its stack."""
        process = started("hogging_child")
        errors = ""
        while "holds the lock" not in errors:
            errors += capfd.readouterr().err
        process.abort()
        assert re.search(r'File ".*hogging_child.py", line \d+ in hog', capfd.readouterr().err)
        assert process.receive(timeout=1) == Died(exit_status="signal SIGABRT")


def test_child_ends_though_its_reports_were_not_read(environment):
    """A training process ends with its supervisor even if that has not read all its reports."""
    ours, childs_end = socket.socketpair()
    with childs_end:
        child = subprocess.Popen([sys.executable, "-m", "worker.run.child"], env=environment, stdin=childs_end.fileno())
    try:
        assert select.select([ours], [], [], 60)[0]  # it has reported that it is ready
        ours.close()
        assert child.wait(5) == 1
    finally:
        child.kill()
        child.wait()
