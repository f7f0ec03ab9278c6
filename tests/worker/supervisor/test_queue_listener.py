"""How a worker waits that found nothing: by the clock, and on PostgreSQL until it hears that something was queued."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from normlab.store import claims, lost_attempts, queue
from normlab.store.database import Database
from normlab.store.schema import migrate
from tests.experiments import claimed, do, enqueue
from worker.supervisor.queue_listener import QueueListener

LONG = 30.0  # seconds that are not waited if a hint comes


@pytest.fixture
def listening(postgresql):
    """One that has begun to listen, which it takes for a hint."""
    idling = QueueListener(postgresql, LONG)
    assert waited(idling) < LONG / 2
    yield idling
    idling.close()


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


def paused(database):
    number = enqueue(database)
    do(database, queue.pause, number)
    return number


def cancelled(database):
    number = enqueue(database)
    do(database, queue.cancel, number)
    return number


WAYS_INTO_THE_QUEUE = {
    "posted": lambda database: lambda: enqueue(database),
    "resumed": lambda database: (lambda number: lambda: do(database, queue.resume, number))(paused(database)),
    "retried": lambda database: (lambda number: lambda: do(database, queue.retry, number))(cancelled(database)),
    "released": lambda database: (lambda held: lambda: do(database, claims.release, held))(
        enqueue(database) and claimed(database)
    ),
    "taken over": lambda database: (lambda _: lambda: do(database, lost_attempts.requeue_stalled))(
        enqueue(database) and claimed(database, lease_seconds=-1.0)
    ),
}


@pytest.mark.parametrize("way", WAYS_INTO_THE_QUEUE)
def test_on_postgresql_whatever_is_queued_wakes_who_waits(postgresql, way):
    queue_it = WAYS_INTO_THE_QUEUE[way](postgresql)
    idling = QueueListener(postgresql, LONG)
    assert waited(idling) < LONG / 2
    assert waited(idling, meanwhile=queue_it) < LONG / 2
    idling.close()


def test_who_waits_is_not_woken_by_what_others_do_with_theirs(postgresql):
    enqueue(postgresql)
    held = claimed(postgresql)
    idling = QueueListener(postgresql, 1.0)
    waited(idling)
    assert waited(idling, meanwhile=lambda: do(postgresql, claims.heartbeat, held, step=3, lease_seconds=30)) >= 1.0
    assert waited(idling, meanwhile=lambda: do(postgresql, claims.succeed, held)) >= 1.0
    idling.close()


def test_who_listens_and_is_cut_off_waits_by_the_clock_and_listens_again(postgresql):
    def cut_off():
        with postgresql.writer.connect() as connection:
            found = connection.execute(
                text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'LISTEN normlab_queued'")
            ).all()
            assert len(found) == 1

    idling = QueueListener(postgresql, 1.0)
    waited(idling)
    assert 1.0 <= waited(idling, meanwhile=cut_off) < 5.0
    waited(idling)
    assert waited(idling, after=0.1, meanwhile=lambda: enqueue(postgresql)) < 0.9
    idling.close()


def test_who_is_busy_holds_no_connection_for_hints(postgresql, listening):
    listening.close()
    with postgresql.writer.connect() as connection:
        listens = text("SELECT count(*) FROM pg_stat_activity WHERE query = 'LISTEN normlab_queued'")
        deadline = time.monotonic() + 5
        while connection.execute(listens).scalar() and time.monotonic() < deadline:
            time.sleep(0.02)  # until the server has noticed
        assert connection.execute(listens).scalar() == 0


def test_who_waits_stops_soon_when_it_is_told_to(postgresql, listening, tmp_path):
    on_sqlite = Database(f"sqlite:///{tmp_path / 'normlab.db'}")
    for idling in (listening, QueueListener(on_sqlite, LONG)):
        stop = threading.Event()
        assert waited(idling, stop=stop, meanwhile=stop.set) < LONG / 2
    on_sqlite.close()


def test_on_sqlite_it_waits_by_the_clock(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'normlab.db'}")
    migrate(database)
    assert waited(QueueListener(database, 1.0), meanwhile=lambda: enqueue(database)) >= 1.0
    database.close()
