"""Idempotency keys: a repeated request creates no second experiment."""

import pytest

from normlab.spec.experiment import ExperimentSpec
from normlab.store import queue
from normlab.store.enqueue import IdempotencyKey, Submission, enqueue_all
from normlab.store.errors import IdempotencyKeyReused
from tests.experiments import do, enqueue

SPEC = ExperimentSpec(dataset="digits")


class TestIdempotencyKey:
    """An idempotency key and the body it was used with."""

    def test_names_one_experiment_and_one_body(self, database):
        """The same key and body return the first experiment. The key with another body is refused."""
        first = enqueue(database, idempotency=IdempotencyKey("k", "d"))
        assert enqueue(database, idempotency=IdempotencyKey("k", "d")) == first
        with pytest.raises(IdempotencyKeyReused, match="another body"):
            enqueue(database, idempotency=IdempotencyKey("k", "other"))
        assert enqueue(database, idempotency=IdempotencyKey("k2", "d")) != first

    def test_belongs_to_an_api_key(self, database):
        """Two API keys may use the same idempotency key, for two experiments."""
        numbers = [enqueue(database, idempotency=IdempotencyKey("k", "d", api_key)) for api_key in ("a", "b", "", "a")]
        assert numbers[3] == numbers[0]
        assert len(set(numbers)) == 3

    def test_repeated_in_one_transaction(self, database):
        """A key that is repeated among the submissions of one transaction creates one experiment."""
        keys = [IdempotencyKey("k", "d"), IdempotencyKey("k", "d"), IdempotencyKey("k", "other"), None]
        first, again, refused, other = do(database, enqueue_all, [Submission(SPEC, key) for key in keys])
        assert again is first
        assert isinstance(refused, IdempotencyKeyReused)
        assert other.id != first.id

    def test_is_deleted_with_its_experiment(self, database):
        """After its experiment is removed, a key can be used for another body."""
        first = enqueue(database, idempotency=IdempotencyKey("k", "d"))
        do(database, queue.remove, first)
        assert enqueue(database, idempotency=IdempotencyKey("k", "other")) > first
