"""How a worker waits that found nothing: by the clock, and on PostgreSQL until it hears that something was queued."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from service.experiments import claims, queue
from service.experiments.database import Database
from service.experiments.schema import migrate
from service.experiments.spec import ExperimentSpec
from worker.idling import Idling

LONG = 30.0  # seconds that are not waited if a hint comes


@pytest.fixture
def listening(postgresql):
    """One that has begun to listen, which it takes for a hint."""
    idling = Idling(postgresql, LONG)
    assert waited(idling) < LONG / 2
    yield idling
    idling.end()


def waited(idling, *, meanwhile=None, after=0.3, stop=None):
    """The seconds that it waits, somebody doing something meanwhile."""
    began = time.monotonic()
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(idling.wait, stop or threading.Event())
        time.sleep(after)
        if meanwhile is not None:
            assert not waiting.done()
            meanwhile()
        waiting.result()
    return time.monotonic() - began


def do(database, verb, *arguments, **options):
    with database.writing.begin() as session:
        return verb(session, *arguments, **options)


def enqueued(database):
    return do(database, queue.enqueue, ExperimentSpec(dataset="digits")).id


def claimed(database, lease_seconds=30.0):
    return do(database, claims.claim, worker="w", lease_seconds=lease_seconds)


def paused(database):
    number = enqueued(database)
    do(database, queue.pause, number)
    return number


def cancelled(database):
    number = enqueued(database)
    do(database, queue.cancel, number)
    return number


WAYS_INTO_THE_QUEUE = {
    "posted": lambda database: lambda: enqueued(database),
    "resumed": lambda database: (lambda number: lambda: do(database, queue.resume, number))(paused(database)),
    "retried": lambda database: (lambda number: lambda: do(database, queue.retry, number))(cancelled(database)),
    "given back": lambda database: (lambda held: lambda: do(database, claims.give_back, held))(
        enqueued(database) and claimed(database)
    ),
    "taken over": lambda database: (lambda _: lambda: do(database, claims.requeue_stalled))(
        enqueued(database) and claimed(database, lease_seconds=-1.0)
    ),
}


@pytest.mark.parametrize("way", WAYS_INTO_THE_QUEUE)
def test_on_postgresql_whatever_is_queued_wakes_who_waits(postgresql, way):
    queue_it = WAYS_INTO_THE_QUEUE[way](postgresql)
    idling = Idling(postgresql, LONG)
    assert waited(idling) < LONG / 2
    assert waited(idling, meanwhile=queue_it) < LONG / 2
    idling.end()


def test_who_waits_is_not_woken_by_what_others_do_with_theirs(postgresql):
    enqueued(postgresql)
    held = claimed(postgresql)
    idling = Idling(postgresql, 1.0)
    waited(idling)
    assert waited(idling, meanwhile=lambda: do(postgresql, claims.heartbeat, held, step=3, lease_seconds=30)) >= 1.0
    assert waited(idling, meanwhile=lambda: do(postgresql, claims.succeed, held)) >= 1.0
    idling.end()


def test_who_listens_and_is_cut_off_waits_by_the_clock_and_listens_again(postgresql):
    def cut_off():
        with postgresql.writer.connect() as connection:
            found = connection.execute(
                text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'LISTEN normlab_queued'")
            ).all()
            assert len(found) == 1

    idling = Idling(postgresql, 1.0)
    waited(idling)
    assert 1.0 <= waited(idling, meanwhile=cut_off) < 5.0
    waited(idling)
    assert waited(idling, after=0.1, meanwhile=lambda: enqueued(postgresql)) < 0.9
    idling.end()


def test_who_is_busy_holds_no_connection_for_hints(postgresql, listening):
    listening.end()
    with postgresql.writer.connect() as connection:
        listens = text("SELECT count(*) FROM pg_stat_activity WHERE query = 'LISTEN normlab_queued'")
        deadline = time.monotonic() + 5
        while connection.execute(listens).scalar() and time.monotonic() < deadline:
            time.sleep(0.02)  # until the server has noticed
        assert connection.execute(listens).scalar() == 0


def test_who_waits_stops_soon_when_it_is_told_to(postgresql, listening, tmp_path):
    on_sqlite = Database(f"sqlite:///{tmp_path / 'normlab.db'}")
    for idling in (listening, Idling(on_sqlite, LONG)):
        stop = threading.Event()
        assert waited(idling, stop=stop, meanwhile=stop.set) < LONG / 2
    on_sqlite.close()


def test_on_sqlite_it_waits_by_the_clock(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'normlab.db'}")
    migrate(database)
    assert waited(Idling(database, 1.0), meanwhile=lambda: enqueued(database)) >= 1.0
    database.close()
