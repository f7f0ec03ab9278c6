"""How an idle worker waits: for its poll interval, and on PostgreSQL until a notification comes."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from normlab.store import claims, lost_attempts, queue
from tests.experiments import claimed, do, enqueue, until
from worker.supervisor.queue_listener import QueueListener

LONG = 30.0  # seconds, a poll interval that a notification ends early


@pytest.fixture
def listener(postgresql):
    """A listener that has started to listen, which it counts as a notification."""
    listener = QueueListener(postgresql, LONG)
    assert seconds_waited(listener) < LONG / 2
    yield listener
    listener.close()


def seconds_waited(listener, *, action=None, after=0.3, stop=None):
    """Return how long the listener waits, while `action` is done `after` seconds."""
    began = time.monotonic()
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(listener.wait, stop or threading.Event())
        time.sleep(after)
        if action is not None:
            assert not waiting.done()
            action()
        waiting.result()
    return time.monotonic() - began


def post(database):
    return lambda: enqueue(database)


def resume(database):
    number = enqueue(database)
    do(database, queue.pause, number)
    return lambda: do(database, queue.resume, number)


def retry(database):
    number = enqueue(database)
    do(database, queue.cancel, number)
    return lambda: do(database, queue.retry, number)


def release(database):
    enqueue(database)
    claim = claimed(database)
    return lambda: do(database, claims.release, claim)


def take_over(database):
    enqueue(database)
    claimed(database, lease_seconds=-1.0)
    return lambda: do(database, lost_attempts.requeue_stalled)


class TestOnPostgresql:
    @pytest.mark.parametrize("prepare", [post, resume, retry, release, take_over])
    def test_every_queued_experiment_ends_the_wait(self, postgresql, prepare):
        """Whatever puts an experiment into the queue, an idle worker is notified."""
        action = prepare(postgresql)
        listener = QueueListener(postgresql, LONG)
        assert seconds_waited(listener) < LONG / 2
        assert seconds_waited(listener, action=action) < LONG / 2
        listener.close()

    def test_other_changes_do_not_end_the_wait(self, postgresql):
        """Heartbeats and ends of running experiments do not wake idle workers."""
        enqueue(postgresql)
        claim = claimed(postgresql)
        listener = QueueListener(postgresql, 1.0)
        seconds_waited(listener)

        def heartbeat():
            do(postgresql, claims.heartbeat, claim, step=3, lease_seconds=30)

        assert seconds_waited(listener, action=heartbeat) >= 1.0
        assert seconds_waited(listener, action=lambda: do(postgresql, claims.succeed, claim)) >= 1.0
        listener.close()

    def test_listens_again_after_its_connection_was_lost(self, postgresql):
        """After a lost connection the worker polls once, and then listens again."""

        def disconnect():
            with postgresql.writer.connect() as connection:
                rows = connection.execute(
                    text(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE query = 'LISTEN normlab_queued' AND datname = current_database()"
                    )
                ).all()
                assert len(rows) == 1

        listener = QueueListener(postgresql, 1.0)
        seconds_waited(listener)
        assert 1.0 <= seconds_waited(listener, action=disconnect) < 5.0
        seconds_waited(listener)
        assert seconds_waited(listener, after=0.1, action=lambda: enqueue(postgresql)) < 0.9
        listener.close()

    def test_closed_listener_holds_no_connection(self, postgresql, listener):
        """A busy worker listens no more, because notifications that it does not read would accumulate."""
        listener.close()
        listening = text(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE query = 'LISTEN normlab_queued' AND datname = current_database()"
        )
        with postgresql.writer.connect() as connection:
            until(lambda: connection.execute(listening).scalar() == 0, seconds=5)

    def test_stop_ends_the_wait(self, listener):
        """A worker that listens stops soon after it is asked to."""
        stop = threading.Event()
        assert seconds_waited(listener, stop=stop, action=stop.set) < LONG / 2


class TestOnSqlite:
    def test_waits_for_the_poll_interval(self, sqlite):
        """SQLite has no notifications, so the worker waits for its poll interval."""
        assert seconds_waited(QueueListener(sqlite, 1.0), action=lambda: enqueue(sqlite)) >= 1.0

    def test_stop_ends_the_wait(self, sqlite):
        """A worker that polls stops as soon as it is asked to."""
        stop = threading.Event()
        assert seconds_waited(QueueListener(sqlite, LONG), stop=stop, action=stop.set) < LONG / 2
