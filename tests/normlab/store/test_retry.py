"""Retry: a failed or cancelled experiment is queued again."""

import pytest

from normlab.store import claims, lost_attempts, queue, records
from normlab.store.errors import InvalidState
from tests.experiments import attempts, claimed, do, enqueue, expire, read
from tests.factories import record_of


class TestRetry:
    """What can be retried, and what a retry keeps."""

    def test_requeues_failed_experiments_only(self, database):
        """A failed experiment is queued again, without its error. A queued or succeeded one is refused."""
        number = enqueue(database)
        with pytest.raises(InvalidState, match="is queued"):
            do(database, queue.retry, number)
        do(database, claims.fail, claimed(database), "it broke")
        assert read(database, number).error == "it broke"
        retried = do(database, queue.retry, number)
        assert (retried.status, retried.error, retried.ended_at) == ("queued", None, None)
        do(database, claims.succeed, claimed(database))
        with pytest.raises(InvalidState, match="is succeeded"):
            do(database, queue.retry, number)

    def test_from_start_deletes_the_records(self, database):
        """A retry keeps the records and the checkpoint. One from the start deletes both."""
        number = enqueue(database)
        for from_start, epochs in ((False, 1), (True, 0)):
            claim = claimed(database)
            if not from_start:
                do(database, records.record, claim, record_of(0))
            do(database, claims.fail, claim, "it broke")
            retried = do(database, queue.retry, number, from_start=from_start)
            assert retried.epochs_done == epochs
            metrics = (
                retried.last_train_loss, retried.last_test_loss, retried.last_test_accuracy, retried.best_test_accuracy,
            )  # fmt: skip
            assert [value is None for value in metrics] == [from_start] * 4
            with database.reading() as session:
                assert len(records.metrics(session, number)) == epochs
                assert (records.checkpoint(session, number) is None) == from_start

    def test_restarts_the_count_of_lost_attempts(self, database):
        """Attempts lost before a retry are kept, but do not count towards the limit any more."""
        number = enqueue(database)
        for _ in range(lost_attempts.MAX_ATTEMPTS):
            claimed(database)
            expire(database, number)
            do(database, lost_attempts.requeue_stalled)
        assert read(database, number).status == "failed"
        do(database, queue.retry, number)
        claimed(database)
        expire(database, number)
        do(database, lost_attempts.requeue_stalled)
        assert read(database, number).status == "queued"
        outcomes = [outcome for outcome, _ in attempts(database, number)]
        assert outcomes == ["lost"] * (lost_attempts.MAX_ATTEMPTS + 1)
