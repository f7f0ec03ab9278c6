"""What the torture commands share: databases of either kind, workers that can be hurt, and what came of it all."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from sqlalchemy import func, select

from normlab.spec.experiment import ExperimentSpec
from normlab.store.database import Database
from normlab.store.models import Attempt, CheckpointRow, EpochRow, Experiment, HistogramRow
from normlab.store.schema import migrate
from normlab.store.sqlite_file import sqlite
from tests import experiments

RUNTIME = tempfile.TemporaryDirectory()  # until this process ends

SMALL = {
    "dataset": "digits", "image_size": 16, "train_size": 200, "test_size": 40, "epochs": 4, "batch_size": 4,
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
def database_of(kind: str) -> Iterator[Database]:
    """A migrated database, `sqlite` or `postgresql`, gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        if kind == "sqlite":
            made = Database(f"sqlite:///{folder}/normlab.db")
        else:
            os.environ.setdefault("XDG_RUNTIME_DIR", RUNTIME.name)  # the wheel asks for one and warns if there is none
            import pgserver

            server = pgserver.get_server(Path(folder, "postgres"))
            made = Database(server.get_uri())
        migrate(made)
        try:
            yield made
        finally:
            made.close()
            if kind != "sqlite":
                server.cleanup()


# The clock is the one thing that is faked.
WRONG_CLOCK = """
import sys, time
right = time.time
time.time = lambda: right() + {}
sys.argv = ["worker"]
from worker.__main__ import main

from tests import experiments
main()
"""


class Worker:
    """A worker process, and the training process it keeps.

    clock_off_by: seconds that its own clock is ahead. crash_at: the point where it, or its child, is killed once, and
    the file that is there from then on.
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
        """Its process id."""
        return self._process.pid

    @property
    def child(self) -> int | None:
        """The training's process id, if there is one."""
        with suppress(FileNotFoundError, ProcessLookupError):
            for task in Path(f"/proc/{self.supervisor}/task").iterdir():
                for pid in (task / "children").read_text().split():
                    return int(pid)
        return None

    def is_alive(self) -> bool:
        """Whether the supervisor is."""
        return self._process.poll() is None

    def end(self) -> None:
        """Kill what is left."""
        if self.is_alive():
            hurt(self.supervisor, signal.SIGKILL)
        self._process.wait()


def hurt(pid: int | None, number: signal.Signals) -> bool:
    """Send a signal; returns whether there was somebody to get it."""
    if pid is None:
        return False
    with suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False


def can_write(database: Database) -> bool:
    """Whether nobody holds SQLite's only place to write, as who is stopped within a write does; PostgreSQL has many."""
    if database.writer.dialect.name != "sqlite":
        return True
    probing = sqlite.connect(str(database.writer.url.database), timeout=0.5, isolation_level=None)
    with closing(probing), suppress(sqlite.OperationalError):
        probing.execute("BEGIN IMMEDIATE")
        return True
    return False


def enqueue(database: Database, number: int, **more: object) -> int:
    """One of the small experiments; numbers that are alike modulo the variants are the same experiment."""
    fields = SMALL | VARIANTS[number % len(VARIANTS)] | more
    return experiments.enqueue(database, ExperimentSpec.model_validate(fields))


def left(database: Database) -> int:
    """How many have not ended."""
    with database.reading() as session:
        waiting = select(func.count()).where(Experiment.status.in_(("queued", "running")))
        return session.scalar(waiting) or 0


def came_of(database: Database, experiment_id: int) -> tuple[object, ...]:
    """Everything that must be the same however an experiment was run: its end, its records, its last weights' hash."""
    with database.reading() as session:
        experiment = session.get_one(Experiment, experiment_id)
        measured = (EpochRow.train_loss, EpochRow.train_accuracy, EpochRow.test_loss, EpochRow.test_accuracy)
        epochs = session.execute(
            select(EpochRow.epoch, *measured).where(EpochRow.experiment_id == experiment_id).order_by(EpochRow.epoch)
        ).all()
        seen = session.execute(
            select(HistogramRow.step, HistogramRow.layer, HistogramRow.quantity, HistogramRow.bins)
            .where(HistogramRow.experiment_id == experiment_id)
            .order_by(HistogramRow.step, HistogramRow.layer, HistogramRow.quantity)
        ).all()
        weights = session.scalar(select(CheckpointRow.sha256).where(CheckpointRow.experiment_id == experiment_id))
        finishes = session.scalar(
            select(func.count()).where(Attempt.experiment_id == experiment_id, Attempt.outcome == "succeeded")
        )
        return (
            experiment.status,
            experiment.error,
            finishes,
            weights,
            tuple(map(tuple, epochs)),
            tuple(map(tuple, seen)),
        )


def attempts(database: Database) -> dict[str, int]:
    """How many claims ended how."""
    with database.reading() as session:
        counted = select(func.coalesce(Attempt.outcome, "running"), func.count()).group_by(Attempt.outcome)
        return {str(outcome): count for outcome, count in session.execute(counted)}
