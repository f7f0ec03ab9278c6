"""Heartbeats: they extend the lease, store the progress, and return why the training must stop."""

import time

from sqlalchemy import update

from normlab.spec.lifecycle import StopReason
from normlab.store import claims, lost_attempts, queue
from normlab.store.models import Attempt
from tests.experiments import claimed, do, enqueue, expire, read


class TestHeartbeat:
    """What a heartbeat writes."""

    def test_extends_the_lease_and_reports_a_cancellation(self, database):
        """A heartbeat extends the lease, stores the step, and returns a requested cancellation."""
        number = enqueue(database)
        claim = claimed(database)
        expire(database, number)
        assert do(database, claims.heartbeat, claim, step=7, lease_seconds=30) is None
        assert do(database, lost_attempts.requeue_stalled) == 0
        assert read(database, number).step == 7
        do(database, queue.cancel, number)
        assert do(database, claims.heartbeat, claim, step=8, lease_seconds=30) == "cancel"

    def test_never_moves_the_step_back(self, database):
        """A supervisor that knows no step, or an older one, leaves the stored step. A new attempt sets it anew."""
        number = enqueue(database)
        claim = claimed(database)
        do(database, claims.start_attempt, claim, provenance={}, steps_total=100, resumed_at_step=55)
        for known, step in ((None, 55), (60, 60), (57, 60)):
            do(database, claims.heartbeat, claim, step=known, lease_seconds=30)
            assert read(database, number).step == step
        do(database, claims.release, claim)
        do(database, claims.start_attempt, claimed(database), provenance={}, steps_total=100, resumed_at_step=None)
        assert read(database, number).step == 0


class TestTimeLimit:
    """max_run_seconds."""

    def test_counts_all_attempts(self, database):
        """The time limit is reached by the time of all attempts together."""
        number = enqueue(database, max_run_seconds=100)
        do(database, claims.release, claimed(database))
        with database.writing.begin() as session:
            session.execute(update(Attempt).values(claimed_at=Attempt.ended_at - 101))
        claim = claimed(database)
        assert claim.experiment_id == number
        assert do(database, claims.heartbeat, claim, step=0, lease_seconds=30) == StopReason.TIME_LIMIT

    def test_does_not_count_time_after_a_lease(self, database):
        """The time between the end of a lease and the next claim is not counted, because nobody trains in it."""
        enqueue(database, max_run_seconds=1.0)
        claimed(database, lease_seconds=0.1)
        time.sleep(1.2)
        assert do(database, lost_attempts.requeue_stalled) == 1
        claim = claimed(database)
        assert do(database, claims.heartbeat, claim, step=None, lease_seconds=30) is None
        with database.reading() as session:
            assert claims.stop_reason(session, claim) is None

    def test_is_reported_between_heartbeats(self, database):
        """stop_reason, which writes nothing, returns that the time limit is reached."""
        enqueue(database, max_run_seconds=0.01)
        claim = claimed(database)
        time.sleep(0.1)
        with database.reading() as session:
            assert claims.stop_reason(session, claim) == StopReason.TIME_LIMIT
