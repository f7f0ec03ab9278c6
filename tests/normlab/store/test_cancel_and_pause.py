"""Cancel, pause and resume: at once for a queued or paused experiment, by a request for a running one."""

from functools import partial

import pytest

from normlab.store import claims, lost_attempts, queue
from normlab.store.errors import InvalidState
from tests.experiments import attempts, claimed, do, enqueue, expire, read


@pytest.fixture(params=["release", "lease expired"])
def end_claim(request, database):
    """The end of a claim: the worker releases it, or is lost."""

    def end_claim(claim):
        if request.param == "release":
            do(database, claims.release, claim)
        else:
            expire(database, claim.experiment_id)
            do(database, lost_attempts.requeue_stalled)

    return end_claim


class TestCancel:
    """A cancellation."""

    def test_ends_queued_and_asks_running(self, database):
        """A queued experiment ends at once, a running one after its worker has stopped. An ended one is refused."""
        queued, running = enqueue(database), enqueue(database)
        do(database, queue.cancel, queued)
        claim = claimed(database)
        assert claim.experiment_id == running
        assert do(database, queue.cancel, running).status == "running"
        do(database, claims.cancel, claim)
        for number in (queued, running):
            assert read(database, number).status == "cancelled"
            with pytest.raises(InvalidState, match="already been cancelled"):
                do(database, queue.cancel, number)

    def test_precedes_requeueing(self, database, end_claim):
        """A requested cancellation is applied when the worker no longer runs the experiment."""
        number = enqueue(database)
        claim = claimed(database)
        do(database, queue.cancel, number)
        end_claim(claim)
        experiment = read(database, number)
        assert (experiment.status, experiment.lease_expires_at) == ("cancelled", None)
        assert experiment.ended_at is not None
        assert claimed(database) is None


class TestPause:
    """A pause, and its end."""

    def test_keeps_the_position_in_the_queue(self, database):
        """A paused experiment is not claimed. After it is resumed, it is the oldest again."""
        first, second = enqueue(database), enqueue(database)
        assert do(database, queue.pause, first).status == "paused"
        assert do(database, queue.pause, first).status == "paused"
        assert claimed(database).experiment_id == second
        assert claimed(database) is None
        assert do(database, queue.resume, first).status == "queued"
        assert claimed(database).experiment_id == first

    def test_request_is_withdrawn_or_replaced(self, database):
        """A requested pause can be withdrawn. A requested cancellation replaces it, and is not replaced by it."""
        number = enqueue(database)
        claim = claimed(database)
        assert do(database, queue.pause, number).requested_action == "pause"
        assert do(database, claims.stop_reason, claim) == "pause"
        assert do(database, queue.resume, number).requested_action is None
        assert do(database, claims.stop_reason, claim) is None
        do(database, queue.pause, number)
        do(database, queue.cancel, number)
        with pytest.raises(InvalidState, match="is being cancelled"):
            do(database, queue.pause, number)
        assert do(database, claims.heartbeat, claim, step=1, lease_seconds=30) == "cancel"

    def test_precedes_requeueing(self, database, end_claim):
        """A requested pause is applied when the worker no longer runs the experiment."""
        number = enqueue(database)
        claim = claimed(database)
        do(database, queue.pause, number)
        end_claim(claim)
        experiment = read(database, number)
        assert (experiment.status, experiment.requested_action, experiment.lease_expires_at) == ("paused", None, None)


class TestRequest:
    """A requested action whose worker has not applied it yet."""

    @pytest.mark.parametrize(("then", "status"), [(queue.resume, "queued"), (queue.cancel, "cancelled")])
    def test_last_one_counts(self, database, then, status):
        """A request that changes while the worker stops is applied as it is at the end."""
        number = enqueue(database)
        claim = claimed(database)
        do(database, queue.pause, number)
        assert do(database, claims.stop_reason, claim) == "pause"  # the worker begins to stop
        do(database, then, number)
        do(database, claims.release, claim)
        assert read(database, number).status == status

    @pytest.mark.parametrize(("verb", "status"), [(queue.cancel, "cancelled"), (queue.pause, "paused")])
    def test_is_applied_at_once_if_the_lease_has_expired(self, database, verb, status):
        """If the experiment's worker is lost, a request is applied at once: all other workers may be busy."""
        number = enqueue(database)
        claimed(database)
        expire(database, number)
        assert do(database, verb, number).status == status
        assert (read(database, number).requested_action, read(database, number).worker) == (None, None)
        assert [outcome for outcome, _ in attempts(database, number)] == ["lost"]

    def test_of_a_lost_worker_does_not_block_the_next_verb(self, database):
        """A request whose worker is lost before it applies it is applied by the next verb."""
        cancelled, paused = enqueue(database), enqueue(database)
        claimed(database), claimed(database)
        do(database, queue.cancel, cancelled)
        do(database, queue.pause, paused)
        expire(database, cancelled), expire(database, paused)
        assert do(database, queue.retry, cancelled).status == "queued"
        assert do(database, queue.resume, paused).status == "queued"


class TestEnded:
    """An experiment that has ended."""

    @pytest.mark.parametrize("verb", [queue.cancel, queue.pause, queue.resume, partial(queue.prioritize, priority=1)])
    def test_refuses_every_verb(self, database, verb):
        """Every verb but retry and remove raises InvalidState, and names the experiment's state."""
        number = enqueue(database)
        do(database, claims.succeed, claimed(database))
        with pytest.raises(InvalidState, match="succeeded"):
            do(database, verb, number)
