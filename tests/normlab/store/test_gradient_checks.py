"""Requested gradient checks: when one may be requested, and that it is done once whatever happens to its workers."""

import pytest
from sqlalchemy import update

from normlab.store import claims, gradient_checks, queue, records
from normlab.store.database import database_now
from normlab.store.errors import CheckLost, InvalidState, NoSuchExperiment
from normlab.store.models import GradientCheckRow
from tests.experiments import claimed, do, enqueue
from tests.factories import record_of

RESULT = {"passed": True}


@pytest.fixture
def ended(database):
    """An experiment that has succeeded and has a checkpoint."""
    number = enqueue(database)
    claim = claimed(database)
    do(database, records.record, claim, record_of(0))
    do(database, claims.succeed, claim)
    return number


def claim_check(database, *, max_attempts=2):
    return do(database, gradient_checks.claim, worker="w", lease_seconds=30, max_attempts=max_attempts)


def expire_lease(database):
    with database.writing.begin() as session:
        session.execute(update(GradientCheckRow).values(lease_expires_at=database_now() - 1))


def latest(database, number):
    with database.reading() as session:
        return gradient_checks.latest(session, number)


class TestRequest:
    def test_needs_a_checkpoint_and_an_experiment_that_rests(self, database):
        """A check is refused without a checkpoint, while the experiment runs, and of no experiment."""
        number = enqueue(database)
        with pytest.raises(InvalidState, match="has no checkpoint yet"):
            do(database, gradient_checks.request, number)
        do(database, records.record, claimed(database), record_of(0))
        with pytest.raises(InvalidState, match="is running; pause it"):
            do(database, gradient_checks.request, number)
        with pytest.raises(NoSuchExperiment):
            do(database, gradient_checks.request, 99)

    def test_while_one_is_open_returns_that_one(self, database, ended):
        """Two requests before the result are one check, and a request after it is another."""
        first = do(database, gradient_checks.request, ended)
        assert do(database, gradient_checks.request, ended).id == first.id
        do(database, gradient_checks.finish, claim_check(database), RESULT)
        assert do(database, gradient_checks.request, ended).id == first.id + 1

    def test_is_deleted_with_its_experiment(self, database, ended):
        """The checks of a removed experiment are removed, and a worker that has one cannot write."""
        do(database, gradient_checks.request, ended)
        claim = claim_check(database)
        do(database, queue.remove, ended)
        with pytest.raises(CheckLost):
            do(database, gradient_checks.finish, claim, RESULT)


class TestClaim:
    def test_is_for_one_worker_at_a_time(self, database, ended):
        """A check is claimed by one worker, and nothing waits afterwards."""
        assert claim_check(database) is None
        do(database, gradient_checks.request, ended)
        with database.reading() as session:
            assert gradient_checks.has_request(session)
        assert claim_check(database).experiment_id == ended
        with database.reading() as session:
            assert not gradient_checks.has_request(session)
        assert claim_check(database) is None

    def test_after_the_lease_takes_over_and_fences_the_first(self, database, ended):
        """If the lease expires another worker has the check, and the first one can write nothing."""
        do(database, gradient_checks.request, ended)
        first = claim_check(database)
        expire_lease(database)
        second = claim_check(database)
        assert (second.id, second.attempt) == (first.id, 2)
        for verb, values in (
            (gradient_checks.heartbeat, {"lease_seconds": 30}),
            (gradient_checks.finish, {"result": RESULT}),
            (gradient_checks.fail, {"error": "no"}),
            (gradient_checks.release, {"lost": True}),
        ):
            with pytest.raises(CheckLost):
                do(database, verb, first, **values)
        do(database, gradient_checks.finish, second, RESULT)
        assert latest(database, ended).result == RESULT

    def test_of_one_that_loses_its_workers_fails(self, database, ended):
        """A check that has lost as many workers as are allowed ends with an error."""
        do(database, gradient_checks.request, ended)
        do(database, gradient_checks.release, claim_check(database), lost=True)
        claim_check(database)
        expire_lease(database)
        assert claim_check(database) is None
        assert latest(database, ended).error == "its worker was lost 2 times"

    def test_of_a_released_one_counts_no_loss(self, database, ended):
        """A worker that stops releases its check, which another one takes, any number of times."""
        do(database, gradient_checks.request, ended)
        for _ in range(4):
            do(database, gradient_checks.release, claim_check(database), lost=False)
        assert claim_check(database).attempt == 5


class TestEnd:
    def test_may_be_repeated(self, database, ended):
        """An end whose reply was lost is repeated and changes nothing."""
        do(database, gradient_checks.request, ended)
        claim = claim_check(database)
        do(database, gradient_checks.finish, claim, RESULT)
        before = latest(database, ended).ended_at
        do(database, gradient_checks.finish, claim, RESULT)
        assert latest(database, ended).ended_at == before

    def test_keeps_an_error_that_quotes_any_bytes(self, database, ended):
        """An error may quote a file name with bytes that the database refuses."""
        do(database, gradient_checks.request, ended)
        do(database, gradient_checks.fail, claim_check(database), "no \udcff\0")
        assert latest(database, ended).error == "no ??"
