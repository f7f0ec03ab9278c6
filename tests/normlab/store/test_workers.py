"""The table of workers."""

from sqlalchemy import update

from normlab.store import workers
from normlab.store.database import database_now
from normlab.store.models import WorkerRow
from normlab.store.workers import DELETED_AFTER_SECONDS, INACTIVE_AFTER_SECONDS, Counters
from tests.experiments import do


def upsert(database, name, **counters):
    """Write a worker's row."""
    do(database, workers.upsert, name, device="cpu", threads=1, steps_per_second=1.0, counters=Counters(**counters))


def age(database, name, seconds):
    """Let a worker's row be as old as if it had not been written for so many seconds."""
    with database.writing.begin() as session:
        session.execute(update(WorkerRow).where(WorkerRow.name == name).values(seen_at=database_now() - seconds))


def names(database):
    """Return the names of the active workers, and of all."""
    with database.reading() as session:
        active = [row.name for row, _, _ in workers.active_workers(session)]
        return active, [row.name for row in workers.all_workers(session)]


class TestWorkers:
    """Which workers are shown, and until when."""

    def test_upsert_keeps_one_row(self, database):
        """A worker has one row, with the counters that it wrote last."""
        upsert(database, "a", steps=1)
        upsert(database, "a", steps=5)
        assert names(database) == (["a"], ["a"])
        with database.reading() as session:
            assert workers.all_workers(session)[0].steps == 5

    def test_silent_worker_is_inactive_then_deleted(self, database):
        """A worker that writes no more is not active, but its counters are kept for an hour."""
        upsert(database, "a")
        age(database, "a", INACTIVE_AFTER_SECONDS + 1)
        assert names(database) == ([], ["a"])
        age(database, "a", DELETED_AFTER_SECONDS + 1)
        upsert(database, "b")
        assert names(database) == (["b"], ["b"])

    def test_deregister_deletes_the_row(self, database):
        """A worker that stops is neither active nor counted."""
        upsert(database, "a")
        do(database, workers.deregister, "a")
        assert names(database) == ([], [])
