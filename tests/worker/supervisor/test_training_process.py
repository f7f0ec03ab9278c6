"""The line between a supervisor and its child, at both ends, with real children."""

import re
import select
import socket
import subprocess
import sys

import pytest

from normlab.store.claims import Claim
from worker.messages import Died, Progress, Ready
from worker.supervisor.training_process import TrainingProcess


@pytest.fixture
def environment(tmp_path):
    return {"NORMLAB_DATABASE_URL": f"sqlite:///{tmp_path / 'normlab.db'}"}


def test_a_childs_death_is_heard_though_what_it_started_lives_on(environment):
    child = TrainingProcess(environment, module="tests.worker.supervisor.parent_child")
    child.run(Claim(1, 1))
    assert isinstance(child.receive(timeout=60), Ready)
    assert child.receive(timeout=10) == Progress(claim=Claim(1, 1), step=1)  # it has started another process
    child.kill()
    assert child.receive(timeout=5) == Died(how="signal SIGKILL")


def test_a_child_whose_supervisor_left_its_words_unread_ends_too(environment):
    ours, its_end = socket.socketpair()
    with its_end:
        child = subprocess.Popen([sys.executable, "-m", "worker.run.child"], env=environment, stdin=its_end.fileno())
    try:
        assert select.select([ours], [], [], 60)[0]  # it has said that it is ready
        ours.close()
        assert child.wait(5) == 1
    finally:
        child.kill()
        child.wait()


def test_a_training_that_hangs_with_the_interpreters_lock_still_leaves_its_stack(environment, capfd):
    child = TrainingProcess(environment, module="tests.worker.supervisor.hogging_child")
    child.run(Claim(1, 1))
    assert isinstance(child.receive(timeout=60), Ready)
    said = ""
    while "holds the lock" not in said:
        said += capfd.readouterr().err
    child.abort()
    assert re.search(r'File ".*hogging_child.py", line \d+ in hog', capfd.readouterr().err)
    assert child.receive(timeout=1) == Died(how="signal SIGABRT")


def test_a_training_that_gets_on_without_a_step_is_heard_of_again_and_again(environment):
    child = TrainingProcess(environment, module="tests.worker.supervisor.lingering_child")
    child.run(Claim(1, 1))
    try:
        assert isinstance(child.receive(timeout=60), Ready)
        assert [child.receive(timeout=10) for _ in range(3)] == 3 * [Progress(claim=Claim(1, 1), step=7)]
    finally:
        child.kill()
    assert child.receive(timeout=10) == Died(how="signal SIGKILL")
