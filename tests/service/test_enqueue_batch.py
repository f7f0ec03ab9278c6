"""Posts that share a transaction: each has its own answer, whatever the others asked."""

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


def answers_to(database, orders):
    async def ask():
        enqueuing = EnqueueBatch(database.writing)
        return await asyncio.gather(*(enqueuing.enqueue(order) for order in orders), return_exceptions=True)

    return asyncio.run(ask())


def test_many_at_once_are_queued_in_their_order_each_once(database):
    made = answers_to(database, [Submission(SPEC) for _ in range(500)])
    assert [experiment.id for experiment in made] == list(range(1, 501))


def test_a_key_that_comes_twice_at_once_makes_one_and_with_another_body_is_refused(database):
    keys = [IdempotencyKey("k", "1"), IdempotencyKey("k", "1"), IdempotencyKey("k", "2"), None]
    first, same, other, alone = answers_to(database, [Submission(SPEC, key) for key in keys])
    assert first.id == same.id != alone.id
    assert isinstance(other, IdempotencyKeyReused)
    with database.reading() as session:
        assert session.query(Experiment).count() == 2


def test_what_the_database_raises_reaches_all_of_its_transaction_and_none_after_it(database, monkeypatch):
    calls = []

    def fail_once(session, orders):
        calls.append(len(orders))
        if len(calls) == 1:
            raise OperationalError("INSERT", {}, Exception("disk full"))
        return enqueue_all(session, orders)

    monkeypatch.setattr(enqueue_batch, "enqueue_all", fail_once)

    async def ask():
        enqueuing = EnqueueBatch(database.writing)
        first = [asyncio.create_task(enqueuing.enqueue(Submission(SPEC))) for _ in range(3)]
        assert all(isinstance(one, OperationalError) for one in await asyncio.gather(*first, return_exceptions=True))
        return await enqueuing.enqueue(Submission(SPEC))

    assert asyncio.run(asyncio.wait_for(ask(), 20)).id == 1


def test_two_services_that_get_the_same_keys_in_opposite_orders_answer_both(postgresql):
    services = [EnqueueBatch(postgresql.writing), EnqueueBatch(postgresql.writing)]

    async def ask(turn):
        orders = [Submission(SPEC, IdempotencyKey(f"{turn}-{key}", "1")) for key in range(40)]
        posts = (
            one.enqueue(order) for one, some in zip(services, (orders, orders[::-1]), strict=True) for order in some
        )
        return await asyncio.gather(*posts)

    for turn in range(15):
        assert len({experiment.id for experiment in asyncio.run(ask(turn))}) == 40


def test_a_client_that_goes_away_leaves_the_others_their_answers(database):
    async def ask():
        enqueuing = EnqueueBatch(database.writing)
        leaving, staying = (asyncio.create_task(enqueuing.enqueue(Submission(SPEC))) for _ in range(2))
        await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        return await staying

    assert asyncio.run(asyncio.wait_for(ask(), 20)).id == 2
