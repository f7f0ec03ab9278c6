"""Who works, on both databases."""

from sqlalchemy import update

from normlab.store import workers
from normlab.store.database import database_now
from normlab.store.models import WorkerRow
from normlab.store.workers import DELETED_AFTER_SECONDS, INACTIVE_AFTER_SECONDS, Counters


def show(database, name, **counters):
    with database.writing.begin() as session:
        workers.upsert(session, name, device="cpu", threads=1, steps_per_second=1.0, counters=Counters(**counters))


def silent_for(database, name, seconds):
    with database.writing.begin() as session:
        session.execute(update(WorkerRow).where(WorkerRow.name == name).values(seen_at=database_now() - seconds))


def names(database):
    with database.reading() as session:
        there = [row.name for row, _, _ in workers.active_workers(session)]
        return there, [row.name for row in workers.all_workers(session)]


def test_a_worker_is_shown_once_however_often_it_says_so_and_its_counts_are_its_last(database):
    show(database, "a", steps=1)
    show(database, "a", steps=5)
    assert names(database) == (["a"], ["a"])
    with database.reading() as session:
        assert workers.all_workers(session)[0].steps == 5


def test_a_silent_one_is_not_there_but_counted_and_after_an_hour_forgotten(database):
    show(database, "a")
    silent_for(database, "a", INACTIVE_AFTER_SECONDS + 1)
    assert names(database) == ([], ["a"])
    silent_for(database, "a", DELETED_AFTER_SECONDS + 1)
    show(database, "b")
    assert names(database) == (["b"], ["b"])
