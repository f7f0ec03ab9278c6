"""Who works, on both databases."""

from sqlalchemy import update

from service.experiments import workers
from service.experiments.database import database_now
from service.experiments.models import WorkerRow
from service.experiments.workers import FORGOTTEN_AFTER_SECONDS, GONE_AFTER_SECONDS, Done


def show(database, name, **done):
    with database.writing.begin() as session:
        workers.show(session, name, device="cpu", threads=1, steps_per_second=1.0, done=Done(**done))


def silent_for(database, name, seconds):
    with database.writing.begin() as session:
        session.execute(update(WorkerRow).where(WorkerRow.name == name).values(seen_at=database_now() - seconds))


def names(database):
    with database.reading() as session:
        there = [row.name for row, _, _ in workers.there(session)]
        return there, [row.name for row in workers.counted(session)]


def test_a_worker_is_shown_once_however_often_it_says_so_and_its_counts_are_its_last(database):
    show(database, "a", steps=1)
    show(database, "a", steps=5)
    assert names(database) == (["a"], ["a"])
    with database.reading() as session:
        assert workers.counted(session)[0].steps == 5


def test_a_silent_one_is_not_there_but_counted_and_after_an_hour_forgotten(database):
    show(database, "a")
    silent_for(database, "a", GONE_AFTER_SECONDS + 1)
    assert names(database) == ([], ["a"])
    silent_for(database, "a", FORGOTTEN_AFTER_SECONDS + 1)
    show(database, "b")
    assert names(database) == (["b"], ["b"])
