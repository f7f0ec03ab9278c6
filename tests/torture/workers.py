"""What the torture commands share: databases of both kinds, workers that can be killed, and results to compare."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import cache
from pathlib import Path

from sqlalchemy import func, select

from normlab.spec.experiment import ExperimentSpec
from normlab.spec.lifecycle import Status
from normlab.store.database import Database
from normlab.store.models import Attempt, CheckpointRow, EpochRow, Experiment, HistogramRow
from normlab.store.schema import migrate
from normlab.store.sqlite_file import sqlite
from tests import experiments

SMALL = {
    "dataset": "digits", "image_size": 20, "train_size": 200, "test_size": 40, "epochs": 4, "batch_size": 4,
    "engine": "eager", "gradient_check": False, "checkpoint_seconds": 0.1,
    "capture_quantities": ["weight_gradient"], "capture_unit": "step", "capture_every": 20,
}  # fmt: skip
VARIANTS = (
    {"normalization": "batch"},
    {"normalization": "none", "optimizer": "sgd", "learning_rate": 0.01},
    {"normalization": "instance", "protocol": "original", "capture_unit": "epoch", "capture_every": 1},
    {
        "normalization": "batch", "affine": True, "learning_rate_schedule": "cosine",
        "network": [
            {"kind": "convolution", "channels": 8, "stride": 2}, {"kind": "normalization"}, {"kind": "activation"},
            {"kind": "convolution", "channels": 8}, {"kind": "add", "shortcut": 2}, {"kind": "global_average_pool"},
            {"kind": "dropout", "rate": 0.2}, {"kind": "linear", "features": 10},
        ],
    },
)  # fmt: skip


@contextmanager
def postgresql_server(folder: str) -> Iterator[object]:
    """Run a PostgreSQL server of the pgserver wheel, with its data in a folder."""
    os.environ.setdefault("XDG_RUNTIME_DIR", _runtime_folder().name)  # the wheel warns if it is not set
    import pgserver

    server = pgserver.get_server(Path(folder, "postgres"))
    try:
        yield server
    finally:
        server.cleanup()


@cache
def _runtime_folder() -> tempfile.TemporaryDirectory[str]:
    """Make a folder that exists until this process ends."""
    return tempfile.TemporaryDirectory()


@contextmanager
def database_of(kind: str) -> Iterator[Database]:
    """Provide a migrated database of a kind, `sqlite` or `postgresql`. Delete it in the end."""
    with tempfile.TemporaryDirectory() as folder:
        if kind == "sqlite":
            with migrated(f"sqlite:///{folder}/normlab.db") as database:
                yield database
        else:
            with postgresql_server(folder) as server, migrated(server.get_uri()) as database:
                yield database


@contextmanager
def migrated(url: str) -> Iterator[Database]:
    """Migrate a database, and close its connections in the end."""
    database = Database(url)
    migrate(database)
    try:
        yield database
    finally:
        database.close()


# Only the clock is faked.
WRONG_CLOCK = """
import sys, time
right = time.time
time.time = lambda: right() + {}
sys.argv = ["worker"]
from worker.__main__ import main
main()
"""


class Worker:
    """A worker process and its training process.

    clock_off_by: how many seconds its clock is ahead. crash_at: the point at which one of its processes is killed
    once, and the file that is created at that moment.
    """

    def __init__(
        self,
        database: Database,
        *,
        clock_off_by: float = 0.0,
        crash_at: tuple[str, Path] | None = None,
        **settings: float,
    ) -> None:
        environment = os.environ | {"NORMLAB_DATABASE_URL": database.url, "OMP_NUM_THREADS": "1"}
        environment |= {f"NORMLAB_{name.upper()}": str(value) for name, value in settings.items()}
        command = ["-c", WRONG_CLOCK.format(clock_off_by)] if clock_off_by else ["-m", "worker"]
        if crash_at is not None:
            command = ["-m", "tests.torture.crashing"]
            environment |= {"CRASH_AT": crash_at[0], "CRASHED": str(crash_at[1])}
        self._process = subprocess.Popen(
            [sys.executable, *command], env=environment, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
        )

    @property
    def supervisor(self) -> int:
        """The process id of the supervisor."""
        return self._process.pid

    @property
    def child(self) -> int | None:
        """The process id of the training process, if there is one."""
        with suppress(FileNotFoundError, ProcessLookupError):
            for task in Path(f"/proc/{self.supervisor}/task").iterdir():
                for pid in (task / "children").read_text().split():
                    return int(pid)
        return None

    def is_alive(self) -> bool:
        """Return whether the supervisor runs."""
        return self._process.poll() is None

    def end(self) -> None:
        """Kill the supervisor if it still runs."""
        if self.is_alive():
            send_signal(self.supervisor, signal.SIGKILL)
        self._process.wait()


def send_signal(pid: int | None, number: signal.Signals) -> bool:
    """Send a signal, and return whether the process exists."""
    if pid is None:
        return False
    with suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False


def can_write(database: Database) -> bool:
    """Return whether SQLite can be written to. A process that is suspended within a write prevents that.

    PostgreSQL has no such lock.
    """
    if database.writer.dialect.name != "sqlite":
        return True
    connection = sqlite.connect(str(database.writer.url.database), timeout=0.5, isolation_level=None)
    with closing(connection), suppress(sqlite.OperationalError):
        connection.execute("BEGIN IMMEDIATE")
        return True
    return False


def enqueue_variant(database: Database, index: int, **fields: object) -> int:
    """Queue a small experiment of a variant, indexed modulo len(VARIANTS), and return its number."""
    spec = SMALL | VARIANTS[index % len(VARIANTS)] | fields
    return experiments.enqueue(database, ExperimentSpec.model_validate(spec))


def count_unfinished(database: Database) -> int:
    """Return how many experiments are queued or running."""
    with database.reading() as session:
        unfinished = select(func.count()).where(Experiment.status.in_((Status.QUEUED, Status.RUNNING)))
        return session.scalar(unfinished) or 0


def result_of(database: Database, experiment_id: int) -> tuple[object, ...]:
    """Return all of an experiment that must not depend on faults: its end, its records and its last weights' hash."""
    with database.reading() as session:
        experiment = session.get_one(Experiment, experiment_id)
        metrics = (EpochRow.train_loss, EpochRow.train_accuracy, EpochRow.test_loss, EpochRow.test_accuracy)
        epochs = session.execute(
            select(EpochRow.epoch, *metrics).where(EpochRow.experiment_id == experiment_id).order_by(EpochRow.epoch)
        ).all()
        histograms = session.execute(
            select(HistogramRow.step, HistogramRow.layer, HistogramRow.quantity, HistogramRow.bins)
            .where(HistogramRow.experiment_id == experiment_id)
            .order_by(HistogramRow.step, HistogramRow.layer, HistogramRow.quantity)
        ).all()
        sha256 = session.scalar(select(CheckpointRow.sha256).where(CheckpointRow.experiment_id == experiment_id))
        successes = session.scalar(
            select(func.count()).where(Attempt.experiment_id == experiment_id, Attempt.outcome == "succeeded")
        )
        return (
            experiment.status,
            experiment.error,
            successes,
            sha256,
            tuple(map(tuple, epochs)),
            tuple(map(tuple, histograms)),
        )


def outcomes(database: Database) -> dict[str, int]:
    """Return how many attempts have ended with each outcome."""
    with database.reading() as session:
        counts = select(func.coalesce(Attempt.outcome, "running"), func.count()).group_by(Attempt.outcome)
        return {str(outcome): count for outcome, count in session.execute(counts)}
