"""Claims: which experiment is next, that each is claimed once, and that a stale claim writes nothing."""

import threading
import time
from functools import partial

import pytest
from sqlalchemy import event, select, text

from normlab.store import claims, lost_attempts, queue, records
from normlab.store.database import database_now
from normlab.store.errors import ClaimLost
from tests.experiments import claimed, do, enqueue, expire, read, until
from tests.factories import record_of

STALE_WRITES = {
    "heartbeat": partial(claims.heartbeat, step=1, lease_seconds=30),
    "start_attempt": partial(claims.start_attempt, provenance={}, steps_total=1, resumed_at_step=None),
    "store_gradient_check": partial(claims.store_gradient_check, gradient_check={}),
    "record": partial(records.record, record=record_of(0)),
    "release": claims.release,
    "succeed": claims.succeed,
    "fail": partial(claims.fail, error="no"),
    "cancel": claims.cancel,
    "mark_lost": partial(lost_attempts.mark_lost, detail="no"),
    "stop_reason": claims.stop_reason,
}
ENDS = {"succeed": claims.succeed, "fail": STALE_WRITES["fail"], "release": claims.release}


def claimed_in_order(database):
    """Claim until nothing is queued, and return the experiments in the order of their claims."""
    order = []
    while claim := claimed(database):
        order.append(claim.experiment_id)
    return order


def waits_for_lock(database):
    """Return whether a claim waits for the advisory lock of another one."""
    with database.reading() as session:
        waiting = text(
            "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database"
            " WHERE datname = current_database() AND locktype = 'advisory' AND NOT granted"
        )
        return session.scalar(waiting) > 0


class TestClaim:
    """Which experiment a claim takes."""

    def test_takes_the_oldest_first(self, database):
        """The oldest queued experiment is claimed first. Nothing is claimed from an empty queue."""
        first, second = enqueue(database), enqueue(database)
        assert [claimed(database).experiment_id, claimed(database).experiment_id] == [first, second]
        assert claimed(database) is None

    def test_of_four_workers_takes_each_experiment_once(self, database):
        """Of 40 experiments and four workers at once, each experiment is claimed by one of them."""
        expected = {enqueue(database) for _ in range(40)}
        order = []

        def work():
            while claim := claimed(database):
                order.append(claim.experiment_id)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        # A claim may find nothing while another one has locked the oldest row. The next claim takes what is left.
        work()
        assert len(order) == 40
        assert set(order) == expected

    def test_order_is_priority_then_group_then_age(self, database):
        """A higher priority goes first. Within one the groups take turns, and within a group the oldest goes first."""
        large = [enqueue(database, group="large") for _ in range(4)]
        small = [enqueue(database, group="small") for _ in range(2)]
        alone = enqueue(database)
        urgent = enqueue(database, group="large", priority=1)
        order = claimed_in_order(database)
        assert order[0] == urgent
        assert [number for number in order if number in large] == large
        assert [number for number in order if number in small] == small
        # No group is left out while a group that had a later turn gets another.
        assert set(order[1:3]) == {small[0], alone}
        assert order[3:6] == [large[0], small[1], large[1]]

    def test_two_at_once_take_the_turns_of_two_groups(self, postgresql):
        """A claim waits for another that has not been committed, and takes the turn of the next group."""
        first, _, other = (enqueue(postgresql, group=group) for group in ("a", "a", "b"))
        order = []
        with postgresql.writing.begin() as session:
            order.append(claims.claim(session, worker="w", lease_seconds=30).experiment_id)
            thread = threading.Thread(target=lambda: order.append(claimed(postgresql).experiment_id))
            thread.start()
            until(lambda: waits_for_lock(postgresql))
        thread.join(10)
        assert order == [first, other]


class TestHasWork:
    """What an idle worker reads."""

    def test_reports_queued_and_stalled_experiments(self, database):
        """It reports whether an experiment is queued, and whether a lease has expired."""
        assert do(database, claims.has_work) == (False, False)
        number = enqueue(database)
        assert do(database, claims.has_work) == (True, False)
        claimed(database)
        assert do(database, claims.has_work) == (False, False)
        expire(database, number)
        assert do(database, claims.has_work) == (False, True)


class TestStaleClaim:
    """A claim that is no longer current."""

    @pytest.mark.parametrize("write", STALE_WRITES.values(), ids=STALE_WRITES)
    def test_writes_nothing(self, database, write):
        """A worker whose lease expired writes nothing, while the experiment is queued and after it is claimed."""
        number = enqueue(database)
        stale = claimed(database)
        expire(database, number)
        do(database, lost_attempts.requeue_stalled)
        with pytest.raises(ClaimLost):
            do(database, lambda session: write(session, stale))
        current = claimed(database, worker="other")
        assert (stale.attempt, current.attempt) == (1, 2)

        with pytest.raises(ClaimLost):
            do(database, lambda session: write(session, stale))

        experiment = read(database, number)
        assert (experiment.status, experiment.worker, experiment.epochs_done) == ("running", "other", 0)
        assert (experiment.step, experiment.error, experiment.provenance) == (0, None, None)
        with database.reading() as session:
            assert records.metrics(session, number) == []

    def test_deleted_experiment_raises_claim_lost(self, postgresql):
        """stop_reason raises ClaimLost if the experiment is deleted between its two statements."""
        number = enqueue(postgresql, max_run_seconds=100)
        claim = claimed(postgresql)

        def delete(connection, cursor, statement, parameters, context, many):
            do(postgresql, queue.remove, number, force=True)

        event.listen(postgresql.reader, "after_cursor_execute", delete, once=True)
        with postgresql.reading() as session, pytest.raises(ClaimLost):
            claims.stop_reason(session, claim)


class TestRepeatedEnd:
    """A verb that ends a claim, repeated because the reply to its commit was lost."""

    @pytest.mark.parametrize("verb", ENDS.values(), ids=ENDS)
    def test_changes_nothing(self, database, verb):
        """The same verb of the same attempt may be repeated. Another verb raises ClaimLost."""
        number = enqueue(database)
        claim = claimed(database)
        do(database, verb, claim)
        before = read(database, number)
        do(database, verb, claim)
        after = read(database, number)
        assert (after.status, after.ended_at, after.error) == (before.status, before.ended_at, before.error)
        for other in ENDS.values():
            if other is not verb:
                with pytest.raises(ClaimLost):
                    do(database, other, claim)

    def test_leaves_the_next_attempt_alone(self, database):
        """A repeated release does not requeue an experiment that another worker has claimed since."""
        number = enqueue(database)
        claim = claimed(database)
        do(database, claims.release, claim)
        current = claimed(database, worker="other")
        do(database, claims.release, claim)
        assert (read(database, number).status, read(database, number).worker) == ("running", "other")
        do(database, claims.succeed, current)

    @pytest.mark.parametrize("action", ["cancel", "pause"])
    def test_of_a_release_with_a_request_changes_nothing(self, database, action):
        """A release that ended as a user requested may be repeated too."""
        number = enqueue(database)
        claim = claimed(database)
        do(database, getattr(queue, action), number)
        do(database, claims.release, claim)
        status = read(database, number).status
        do(database, claims.release, claim)
        assert read(database, number).status == status != "queued"


class TestDatabaseClock:
    """The database's clock."""

    def test_is_in_seconds_since_1970(self, database):
        """It shows the time of this machine, on which the database runs, in UTC seconds since 1970."""
        with database.reading() as session:
            assert abs(session.scalar(select(database_now())) - time.time()) < 5
