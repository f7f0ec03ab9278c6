"""Run experiments in this process: the next one to its end, or one in a thread that a test can stop."""

import threading
from contextlib import contextmanager

from normlab.store import records
from tests import experiments
from tests.experiments import claimed, read
from worker.run.experiment import run
from worker.run_control import RunControl
from worker.settings import WorkerSettings

SMALL = {"dataset": "digits", "image_size": 20, "train_size": 80, "test_size": 40, "epochs": 3}
DIVERGING = {"learning_rate": 10.0, "init_std": 10.0, "box_cox_lambda": 9.0, "normalization": "box_cox"}


def enqueue(database, **fields):
    """Queue a small experiment and return its number."""
    return experiments.enqueue(database, **(SMALL | fields))


def run_claim(database, claim, data_dir, control=None):
    """Run a claimed experiment and read it."""
    run(database, claim, WorkerSettings(database_url=database.url, data_dir=data_dir), control or RunControl())
    return read(database, claim.experiment_id)


def run_next(database, data_dir, control=None):
    """Claim the next experiment, run it and read it."""
    return run_claim(database, claimed(database), data_dir, control)


@contextmanager
def running_next(database, data_dir):
    """Claim the next experiment and run it in a thread. In the end wait for it, for at most 30 seconds.

    Yields the control that can stop it.
    """
    settings, control = WorkerSettings(database_url=database.url, data_dir=data_dir), RunControl()
    thread = threading.Thread(target=run, args=[database, claimed(database), settings, control])
    thread.start()
    try:
        yield control
    finally:
        thread.join(30)
        assert not thread.is_alive()


class StopsAtStep(RunControl):
    """A control that stops the training after a step. If its claim is lost, nothing more is stored."""

    def __init__(self, step, reason):
        self.last_step, self.reason = step, reason
        super().__init__()

    def __setattr__(self, name, value):
        super().__setattr__(name, value)
        if name == "step" and value == self.last_step:
            self.stop = self.reason


def final_hash(database, number):
    """Return the SHA-256 of an experiment's last checkpoint."""
    with database.reading() as session:
        return records.checkpoint(session, number).sha256
