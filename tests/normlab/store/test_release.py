"""Ends of a claim: release, failure, and attempts that are lost with their worker."""

import threading
import time

from sqlalchemy import select

from normlab.store import claims, lost_attempts, records
from normlab.store.models import Experiment
from tests.experiments import claimed, do, enqueue, expire, read
from tests.factories import record_of


class TestRelease:
    """A worker that returns its experiment to the queue."""

    def test_keeps_the_records(self, database):
        """A released experiment is claimed again, with the records that it has."""
        number = enqueue(database)
        claim = claimed(database)
        do(database, records.record, claim, record_of(0))
        do(database, claims.release, claim)
        next_claim = claimed(database)
        assert (next_claim.experiment_id, next_claim.attempt) == (number, 2)
        with database.reading() as session:
            assert len(records.metrics(session, number)) == 1

    def test_does_not_count_as_lost(self, database):
        """A release does not count towards the limit on lost attempts."""
        number = enqueue(database)
        for _ in range(lost_attempts.MAX_ATTEMPTS + 2):
            do(database, claims.release, claimed(database))
        do(database, lost_attempts.mark_lost, claimed(database), "it died")
        assert read(database, number).status == "queued"


class TestFail:
    """A training that ends with an error."""

    def test_message_may_hold_any_character(self, database):
        """Characters of a message that a database refuses are replaced."""
        number = enqueue(database)
        do(database, claims.fail, claimed(database), "cannot read caf\udce9\0.png")
        assert (read(database, number).status, read(database, number).error) == ("failed", "cannot read caf??.png")


class TestLostAttempt:
    """An attempt whose worker or training process has ended."""

    def test_requeues_once_the_lease_has_expired(self, database):
        """An experiment whose lease has expired is queued again. One whose lease has not is left as it is."""
        stalled, live = enqueue(database), enqueue(database)
        claimed(database), claimed(database)
        expire(database, stalled)
        assert do(database, lost_attempts.requeue_stalled) == 1
        assert (read(database, stalled).status, read(database, live).status) == ("queued", "running")

    def test_fails_after_too_many(self, database):
        """An experiment fails after the limit of lost attempts, and the next experiment is claimed."""
        deadly, harmless = enqueue(database), enqueue(database)
        for attempt in range(1, lost_attempts.MAX_ATTEMPTS + 1):
            assert claimed(database) == claims.Claim(deadly, attempt)
            expire(database, deadly)
            do(database, lost_attempts.requeue_stalled)
        experiment = read(database, deadly)
        assert experiment.status == "failed"
        assert experiment.error.startswith(
            "the limit of 5 lost attempts is reached (NORMLAB_MAX_ATTEMPTS). The last one: its worker sent no "
            f"heartbeat until the lease expired. GET /experiments/{deadly}/attempts lists all. If the machine was the"
        )
        assert claimed(database).experiment_id == harmless

    def test_waits_for_another_transaction(self, postgresql):
        """mark_lost waits until another transaction that has locked the experiment ends."""
        number = enqueue(postgresql)
        claim = claimed(postgresql)
        with postgresql.writing.begin() as session:
            session.execute(select(Experiment).where(Experiment.id == number).with_for_update())
            losing = threading.Thread(target=do, args=[postgresql, lost_attempts.mark_lost, claim, "it died"])
            losing.start()
            time.sleep(0.3)
            assert losing.is_alive()
        losing.join(10)
        assert read(postgresql, number).status == "queued"
