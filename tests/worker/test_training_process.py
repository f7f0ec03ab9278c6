"""The line between a supervisor and its child, at both ends, with real children."""

import re
import select
import socket
import subprocess
import sys

import pytest

from service.experiments.claims import Claim
from worker import training_process
from worker.training_process import TrainingProcess


@pytest.fixture
def environment(tmp_path):
    return {"NORMLAB_DATABASE_URL": f"sqlite:///{tmp_path / 'normlab.db'}"}


def test_a_childs_death_is_heard_though_what_it_started_lives_on(environment, monkeypatch):
    monkeypatch.setattr(training_process, "CHILD", "tests.worker.parent_child")
    child = TrainingProcess(environment)
    child.run(Claim(1, 1))
    assert "device" in child.hear(timeout=60)
    assert child.hear(timeout=10) == {"step": 1, "of": [1, 1]}  # it has started another process
    child.kill()
    assert child.hear(timeout=5) == {"died": "signal SIGKILL"}


def test_a_child_whose_supervisor_left_its_words_unread_ends_too(environment):
    ours, its_end = socket.socketpair()
    with its_end:
        child = subprocess.Popen([sys.executable, "-m", "worker.child"], env=environment, stdin=its_end.fileno())
    try:
        assert select.select([ours], [], [], 60)[0]  # it has said that it is ready
        ours.close()
        assert child.wait(5) == 1
    finally:
        child.kill()
        child.wait()


def test_a_training_that_hangs_with_the_interpreters_lock_still_leaves_its_stack(environment, monkeypatch, capfd):
    monkeypatch.setattr(training_process, "CHILD", "tests.worker.hogging_child")
    child = TrainingProcess(environment)
    child.run(Claim(1, 1))
    assert "device" in child.hear(timeout=60)
    said = ""
    while "holds the lock" not in said:
        said += capfd.readouterr().err
    child.abort()
    assert re.search(r'File ".*hogging_child.py", line \d+ in hog', capfd.readouterr().err)
    assert child.hear(timeout=1) == {"died": "signal SIGABRT"}


def test_a_training_that_gets_on_without_a_step_is_heard_of_again_and_again(environment, monkeypatch):
    monkeypatch.setattr(training_process, "CHILD", "tests.worker.lingering_child")
    child = TrainingProcess(environment)
    child.run(Claim(1, 1))
    try:
        assert "device" in child.hear(timeout=60)
        assert [child.hear(timeout=10) for _ in range(3)] == 3 * [{"step": 7, "of": [1, 1]}]
    finally:
        child.kill()
    assert child.hear(timeout=10) == {"died": "signal SIGKILL"}
