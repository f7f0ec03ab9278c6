"""Posts that share a transaction: each has its own response."""

import asyncio

import pytest
from sqlalchemy.exc import OperationalError

from normlab.spec.experiment import ExperimentSpec
from normlab.store.enqueue import IdempotencyKey, Submission, enqueue_all
from normlab.store.errors import IdempotencyKeyReused
from normlab.store.models import Experiment
from service import enqueue_batch
from service.enqueue_batch import EnqueueBatch

SPEC = ExperimentSpec(dataset="digits", tags=["a"], group="g")


def results_of(database, submissions):
    """What each of several posts at once returns or raises."""

    async def enqueue():
        batch = EnqueueBatch(database.writing)
        return await asyncio.gather(*(batch.enqueue(each) for each in submissions), return_exceptions=True)

    return asyncio.run(enqueue())


class TestEnqueue:
    def test_many_at_once(self, database):
        """Many posts at once are queued in their order, each once."""
        experiments = results_of(database, [Submission(SPEC) for _ in range(500)])
        assert [experiment.id for experiment in experiments] == list(range(1, 501))

    def test_idempotency_key_within_a_batch(self, database):
        """A key that comes twice at once creates one experiment, and with another body it is refused."""
        keys = [IdempotencyKey("k", "1"), IdempotencyKey("k", "1"), IdempotencyKey("k", "2"), None]
        first, same, other, alone = results_of(database, [Submission(SPEC, key) for key in keys])
        assert first.id == same.id != alone.id
        assert isinstance(other, IdempotencyKeyReused)
        with database.reading() as session:
            assert session.query(Experiment).count() == 2

    def test_api_keys_within_a_batch(self, database):
        """One idempotency key of two API keys in one batch creates two experiments."""
        keys = [IdempotencyKey("k", "1", "mine"), IdempotencyKey("k", "2", "yours"), IdempotencyKey("k", "1", "mine")]
        mine, yours, again = results_of(database, [Submission(SPEC, key) for key in keys])
        assert mine.id == again.id != yours.id

    @pytest.mark.slow
    def test_two_services_with_keys_in_opposite_order(self, postgresql):
        """Two services that get the same keys in opposite orders return a response to every post."""
        services = [EnqueueBatch(postgresql.writing), EnqueueBatch(postgresql.writing)]

        async def enqueue(turn):
            submissions = [Submission(SPEC, IdempotencyKey(f"{turn}-{key}", "1")) for key in range(40)]
            orders = submissions, submissions[::-1]
            posts = (batch.enqueue(each) for batch, order in zip(services, orders, strict=True) for each in order)
            return await asyncio.gather(*posts)

        for turn in range(15):
            assert len({experiment.id for experiment in asyncio.run(enqueue(turn))}) == 40


class TestErrors:
    def test_database_error_reaches_the_whole_batch(self, database, monkeypatch):
        """An error of the database reaches every post of its transaction, and no later one."""
        calls = []

        def fail_once(session, submissions):
            calls.append(len(submissions))
            if len(calls) == 1:
                raise OperationalError("INSERT", {}, Exception("disk full"))
            return enqueue_all(session, submissions)

        monkeypatch.setattr(enqueue_batch, "enqueue_all", fail_once)

        async def enqueue():
            batch = EnqueueBatch(database.writing)
            first = [asyncio.create_task(batch.enqueue(Submission(SPEC))) for _ in range(3)]
            results = await asyncio.gather(*first, return_exceptions=True)
            assert all(isinstance(result, OperationalError) for result in results)
            return await batch.enqueue(Submission(SPEC))

        assert asyncio.run(asyncio.wait_for(enqueue(), 20)).id == 1

    def test_client_that_disconnects(self, database):
        """A client that disconnects leaves the other posts of the batch their responses."""

        async def enqueue():
            batch = EnqueueBatch(database.writing)
            leaving, staying = (asyncio.create_task(batch.enqueue(Submission(SPEC))) for _ in range(2))
            await asyncio.sleep(0)
            leaving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await leaving
            return await staying

        assert asyncio.run(asyncio.wait_for(enqueue(), 20)).id == 2
